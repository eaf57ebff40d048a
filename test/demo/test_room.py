"""The room of the demonstration: frames with their true poses, kept in a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.worlds import world_shots

from ace_slam_ros.demo import room as demo_room
from ace_slam_ros.io.open_source import open_source


@pytest.mark.render
def test_room_frames_belong_to_their_ground_truth(tmp_path: Path) -> None:
    recorded = open_source(demo_room.room_bag(tmp_path, frames=3))
    direct = world_shots(demo_room.WORLD, demo_room.SEED, [2])[0]
    assert len(recorded) == 3 and recorded.stamps_ns[2] == direct.frame.stamp_ns
    assert recorded.groundtruth is not None
    assert np.allclose(recorded.groundtruth.T_map_cam_N44[2], direct.T_world_cam_44, atol=1e-12)
    frame = recorded[2]
    assert np.abs(frame.image.astype(float) - direct.frame.image).mean() < 4.0
    assert frame.depth_m is not None and direct.frame.depth_m is not None
    assert np.abs(frame.depth_m - direct.frame.depth_m).max() < 6e-4


def test_room_is_kept_where_the_code_lies_or_in_the_cache(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert demo_room.cache_folder() == repository / ".cache"
    installed = tmp_path / "site-packages" / "ace_slam_ros" / "ros" / "demo_room.py"
    monkeypatch.setattr(demo_room, "__file__", str(installed))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert demo_room.cache_folder() == tmp_path / "cache" / "ace_slam_ros"
