"""What images need on their way in is compiled before the first one."""

import subprocess
import sys

import pytest

from ace_slam_ros.core.runtime import compiled

ARRIVE = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from sensor_msgs.msg import CompressedImage
from helpers.rvl import encode_rvl
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.runtime import compiled
from ace_slam_ros.io.registration import Registration
from ace_slam_ros.io.warm_up import warm_up_inputs
from ace_slam_ros.ros.messages.conversions import camera_to_msg, frame_from_msgs, image_to_msg
WARM_UP
before = compiled.signatures()
color, depth = Camera(64, 48, 60.0, 61.0, 31.5, 23.5), Camera(48, 36, 50.0, 50.0, 23.5, 17.5)
stored = np.full((36, 48), 1500, np.uint16)
rvl = np.zeros(3, np.float32).tobytes() + encode_rvl(stored)
messages = [image_to_msg(stored, 5, "depth"), image_to_msg(stored / np.float32(1e3), 5, "depth")]
for data in (rvl, memoryview(bytearray(rvl))):
    messages.append(CompressedImage(format="16UC1; compressedDepth rvl", data=data))
for lens in (depth, Camera(48, 36, 50.0, 50.0, 23.5, 17.5, (0.1, 0, 0, 0))):
    registration = Registration(lens, color, exp_se3(np.array([0.05, 0, 0, 0, 0, 0])))
    for message in messages:
        frame = frame_from_msgs(image_to_msg(np.zeros((48, 64, 3), np.uint8), 5, "color"), message,
                                camera_to_msg(color, 5, "color"), registration=registration)
        assert (frame.depth_m > 0).mean() > 0.3
assert compiled.signatures() == before, set(compiled.signatures().items()) ^ set(before.items())
"""


NODE = """
import torch
from types import SimpleNamespace
from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.ros.nodes.{file} import {name}
config = SlamConfig()
{name}.warm_up(SimpleNamespace(
    config=config, encoder=load_encoder(config.encoder, torch.device("cpu")),
    describes_images={name}.describes_images))
"""


@pytest.mark.skipif(not compiled.AVAILABLE, reason="numba is not installed")
@pytest.mark.parametrize("warm_up", [
    "warm_up_inputs()", NODE.format(file="relocalizer", name="RelocalizerNode"),
    pytest.param(NODE.format(file="tracker", name="TrackerNode"), marks=pytest.mark.slow)],
    ids=["inputs", "relocalizer", "tracker"])
def test_depth_of_another_camera_compiles_nothing_after_it(warm_up, repository):
    script = ARRIVE.replace("WARM_UP", warm_up)
    found = subprocess.run([sys.executable, "-c", script, str(repository / "test")],
                           capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
