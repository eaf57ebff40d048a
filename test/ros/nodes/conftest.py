"""A map for live nodes to be found in."""

from pathlib import Path

import numpy as np
import pytest
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.core import Frame, Slam, SlamConfig


@pytest.fixture(scope="session")
def map_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ace-slam run` would save of a walk before the wall: the first half of `wander(36)`."""
    slam, wall = Slam(SlamConfig().with_values({"device": "cpu"})), Wall()
    for number, T_world_cam in enumerate(wander(36)[:18]):
        image, depth_mm = wall.look(T_world_cam)
        depth_m = depth_mm.astype(np.float32) / 1000.0
        slam.process(Frame((number + 1) * 33_000_000, image, depth_m, CAMERA))
    path = tmp_path_factory.mktemp("offline") / "map"
    assert slam.save(path).keyframes >= 2
    return path
