"""The live view: what is recorded can be read back."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers.tracking import process

from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.viewer import rerun_view as view

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)


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
        result = process(tracker, frame)
        for keyframe in result.keyframes:
            mapper.add_keyframe(keyframe, tracker.map_id)
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
