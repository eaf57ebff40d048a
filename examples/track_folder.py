#!/usr/bin/env python3
"""Tracks and maps a recording, frame by frame.

    .venv/bin/python examples/track_folder.py FOLDER_OR_BAG MAP_TO_WRITE
"""

import sys
from pathlib import Path

from ace_slam_ros.core import Slam, SlamConfig
from ace_slam_ros.io import open_source


def main(recording: Path, map_dir: Path) -> None:
    """Print where the camera is in each frame; save the map in the end."""
    slam = Slam(SlamConfig().with_overrides(["features.count=1200"]))
    for frame in open_source(recording):
        result = slam.process(frame)
        if result.has_map_pose:
            x, y, z = result.T_map_cam[:3, 3]
            print(f"{frame.stamp_ns * 1e-9:.3f} s: x {x:.3f} y {y:.3f} z {z:.3f} m")
        else:
            print(f"{frame.stamp_ns * 1e-9:.3f} s: {result.state.name}, {result.reason}")
    slam.save(map_dir)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
