"""The live view: what is recorded can be read back; what is missing is said."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.viewer import rerun_view as view
from ace_slam_ros.viewer import target as view_target

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)


def test_without_rerun_it_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(view_target.ViewError, match="pip install 'rerun-sdk"):
        view_target.check_target("x.rrd")


def test_targets_are_checked_before_anything_slow(monkeypatch, tmp_path):
    monkeypatch.setattr(view_target, "import_rerun", lambda: None)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(view_target.ViewError, match="--view=FILE.rrd"):
        view_target.check_target("")
    monkeypatch.setenv("DISPLAY", ":0")
    view_target.check_target("")
    view_target.check_target("rerun+http://robot:9876/proxy")
    with pytest.raises(view_target.ViewError, match="ends in .rrd"):
        view_target.check_target(str(tmp_path))


def test_command_line_refuses_a_bad_view_at_once(tmp_path, tum_fr1_xyz):
    done = subprocess.run(
        [sys.executable, "-m", "ace_slam_ros.cli", "run", str(tum_fr1_xyz), "--out",
         str(tmp_path / "out"), "--view", str(tmp_path)], capture_output=True, text=True,
        check=False)
    assert done.returncode == 2 and "--view" in done.stderr


def test_a_run_is_recorded(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (optional)")
    config = SlamConfig().with_values({"device": "cpu"})
    encoder = load_encoder(EncoderConfig(), torch.device("cpu"))
    tracker = Tracker(config, encoder)
    mapper = Mapper(config, encoder, map_id=tracker.map_id)
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "new" / "run.rrd"
    shown = view.open_view(str(path), config, encoder)
    for number in range(3):
        frame = Frame(10**18 + number * 33_000_000, np.roll(image, number, axis=1),
                      np.full((240, 320), 2.0, np.float32), CAMERA)
        result = tracker.process(frame)
        if result.keyframe is not None:
            mapper.add_keyframe(result.keyframe, tracker.map_id)
            mapper.work(float("inf"))
            tracker.set_head(mapper.export_head(), number + 1)
        shown.show(frame, result, tracker.head)
    shown.close()
    told = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", "-v", str(path)], capture_output=True,
        text=True, check=False)
    for entity in ("/camera/image", "/coordinates/features", "/map/camera", "/map/points/0",
                   "/map/predicted", "/map/trajectory", "/confidence/inlier_ratio", "/state"):
        assert entity in told.stdout, told.stdout[-2000:] + told.stderr[-500:]


def test_colors_follow_places(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (optional)")
    shown = view.RerunView(None, SlamConfig(), None)
    line = np.linspace([0, 0, 0], [4, 2, 1], 50)
    colors = shown._colors(line)
    assert colors.shape == (50, 3) and (np.diff(colors.astype(int), axis=0) >= 0).all()
    assert np.array_equal(shown._colors(line[10:20]), colors[10:20]), "a place keeps its color"
    assert shown._colors(np.empty((0, 3))).shape == (0, 3)
