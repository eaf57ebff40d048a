"""What frames need is compiled before the first one, and the log says nothing of it."""

import logging
import subprocess
import sys

import pytest
from helpers.rooms import CONFIG, LOCALIZATION

from ace_slam_ros.core.encoders.cpu import openvino_library
from ace_slam_ros.core.runtime import compiled
from ace_slam_ros.core.slam import Slam
from ace_slam_ros.core.warm_up import warm_up


@pytest.mark.render
@pytest.mark.parametrize("config", [CONFIG, LOCALIZATION], ids=["mapping", "localization"])
def test_frames_compile_nothing_after_it(config, encoder, room_frames, caplog):
    with caplog.at_level(logging.INFO, "ace_slam_ros"):
        warm_up(config, encoder)
    assert not [r for r in caplog.records if "compiled" not in r.message]
    before, slam = compiled.signatures(), Slam(CONFIG, encoder)
    for frame in room_frames[:20]:
        slam.process(frame)
    assert compiled.signatures() == before and (before or not compiled.AVAILABLE)


TRACKS_ALONE = """
import sys, numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers.wall import CAMERA, Wall, wander
from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.cpu import openvino_library
from ace_slam_ros.core.runtime import compiled
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.core.warm_up import warm_up
config = SlamConfig()
encoder = load_encoder(config.encoder, "cpu")
warm_up(config, encoder, maps=False)
before, tracker, wall = compiled.signatures(), Tracker(config, encoder), Wall()
tracker.set_head(Path(sys.argv[2]).read_bytes(), 1)  # of another place
for i, T_world_cam in enumerate(wander(12)):
    image, depth_mm = wall.look(T_world_cam)
    tracker.track(Frame(i * 33_000_000, image, depth_mm.astype(np.float32) / 1000, CAMERA))
    tracker.work()
assert compiled.signatures() == before, set(compiled.signatures()) ^ set(before)
"""
#: What processes import shows in how fast they are back after a crash, and in memory.
WITHOUT_TORCH = """
import ace_slam_ros.ros.nodes.relocalizer, ace_slam_ros.ros.nodes.tracker
from ace_slam_ros.core.localization.relocalizer import Relocalizer
relocalizer = Relocalizer(config, encoder)
relocalizer.set_head(Path(sys.argv[2]).read_bytes(), 1)
relocalizer.locate(Frame(0, image, depth_mm.astype(np.float32) / 1000, CAMERA))
assert "torch" not in sys.modules
"""


@pytest.mark.render
@pytest.mark.parametrize("then", ["", pytest.param(WITHOUT_TORCH, marks=pytest.mark.skipif(
    bool(openvino_library.why_not()), reason=openvino_library.why_not()))],
    ids=["nor_compiles", "nor_imports_torch"])
def test_a_process_that_only_tracks_needs_no_more(then, mapped, repository, tmp_path):
    (tmp_path / "head").write_bytes(mapped[0].export_head())
    found = subprocess.run(
        [sys.executable, "-c", TRACKS_ALONE + then, str(repository / "test"),
         str(tmp_path / "head")], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
