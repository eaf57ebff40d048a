"""The room of the demonstration: frames with their true poses, kept in a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ace_slam_ros.demo import room as demo_room
from ace_slam_ros.io.images import decode_compressed_image
from ace_slam_ros.synth.worlds import make_world


@pytest.mark.slow
def test_room_frames_belong_to_their_ground_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_room, "_world", lambda: world)
    world = make_world(demo_room.WORLD, demo_room.SEED)
    truth = demo_room._truth(world, 3)
    made = demo_room._render((2, 3))
    assert [stamp_ns for stamp_ns, _, _ in made] == truth.stamps_ns[2:].tolist()
    direct = next(world.frames(3, 2))
    assert np.array_equal(direct.T_world_cam_44, truth.T_map_cam_N44[2])
    _, color, depth_mm = made[0]
    image = decode_compressed_image(color, "jpeg")
    assert np.abs(image.astype(float) - direct.frame.image).mean() < 4.0
    assert direct.frame.depth_m is not None
    assert np.abs(depth_mm / 1000.0 - direct.frame.depth_m).max() < 6e-4


def test_room_is_kept_where_the_code_lies_or_in_the_cache(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert demo_room.cache_folder() == repository / ".cache"
    installed = tmp_path / "site-packages" / "ace_slam_ros" / "ros" / "demo_room.py"
    monkeypatch.setattr(demo_room, "__file__", str(installed))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert demo_room.cache_folder() == tmp_path / "cache" / "ace_slam_ros"
