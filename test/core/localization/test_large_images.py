"""Images larger than cameras of robots have are relocalized at a size that takes no seconds."""

import cv2
import numpy as np
import pytest
import torch
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.localization import relocalizer as module
from ace_slam_ros.core.localization.relocalizer import Relocalizer
from ace_slam_ros.core.slam import Slam

POSES = wander(72)[:10]


@pytest.fixture(scope="module")
def relocalizer():
    """A relocalizer in the map of a few views."""
    config, wall = SlamConfig(), Wall()
    encoder = load_encoder(config.encoder, torch.device("cpu"))
    slam = Slam(config, encoder)
    for i, T_world_cam in enumerate(POSES):
        image, depth_mm = wall.look(T_world_cam)
        slam.process(Frame(
            (i + 1) * 33_000_000, image, depth_mm.astype(np.float32) / 1000, CAMERA))
    slam.mapper.work(float("inf"))
    found = Relocalizer(config, encoder)
    found.set_head(slam.mapper.export_head(), 1)
    return found


def test_a_large_image_is_found_where_the_small_one_is(relocalizer, monkeypatch):
    """At the size of the map's camera, which stands for the most that is looked at."""
    monkeypatch.setattr(module, "_MOST_PIXELS", CAMERA.width * CAMERA.height)
    image, depth_mm = Wall().look(POSES[5])
    depth_m = depth_mm.astype(np.float32) / 1000
    large = CAMERA.scaled(4.0)
    size = (large.width, large.height)
    frame = Frame(5, cv2.resize(image, size, interpolation=cv2.INTER_LINEAR),
                  cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST), large)
    answers = [relocalizer.locate(f) for f in (Frame(5, image, depth_m, CAMERA), frame)]
    assert all(a.success for a in answers), [a.message for a in answers]
    assert pose_error(answers[0].T_map_cam, answers[1].T_map_cam)[0] < 0.02
