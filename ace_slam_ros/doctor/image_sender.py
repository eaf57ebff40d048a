"""Sends RGB-D pairs as a camera driver would; run as a script, so that it sets no DDS profile.

`python image_sender.py NAMESPACE SECONDS [WIDTH HEIGHT RATE_HZ]` prints {"sent": N} at the end.
It imports nothing of this package: importing it would set the profile that shall be measured.
"""

from __future__ import annotations

import json
import sys
import time
from array import array

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

_NS = 1_000_000_000
_WAIT_S = 15.0


def make_image(width: int, height: int, encoding: str, bytes_per_pixel: int) -> Image:
    """Make a picture that no compression would shrink to nothing."""
    size = width * height * bytes_per_pixel
    data = array("B", bytes(range(256)) * (size // 256 + 1))[:size]
    return Image(
        width=width, height=height, encoding=encoding, step=width * bytes_per_pixel, data=data)


def send(namespace: str, seconds: float, width: int, height: int, rate_hz: float) -> int:
    """Publish pairs at a fixed rate once somebody listens; return their number."""
    node = rclpy.create_node("loopback_camera", namespace=namespace)
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    color = node.create_publisher(Image, "rgb/image", qos)
    depth = node.create_publisher(Image, "depth/image", qos)
    color_image = make_image(width, height, "rgb8", 3)
    depth_image = make_image(width, height, "16UC1", 2)
    deadline_s = time.monotonic() + _WAIT_S
    while not (color.get_subscription_count() and depth.get_subscription_count()):
        if time.monotonic() > deadline_s:
            return 0
        time.sleep(0.05)
    time.sleep(0.3)  # both sides must have matched before the first image counts
    begin_s, sent = time.monotonic(), 0
    while sent < round(seconds * rate_hz):
        time.sleep(max(begin_s + sent / rate_hz - time.monotonic(), 0.0))
        stamp = node.get_clock().now().to_msg()
        for publisher, image in ((color, color_image), (depth, depth_image)):
            image.header.stamp = stamp
            publisher.publish(image)
        sent += 1
    time.sleep(0.3)  # the last image is still on its way
    return sent


if __name__ == "__main__":
    rclpy.init()
    size_and_rate = [float(word) for word in sys.argv[3:6]] or [640.0, 480.0, 30.0]
    pairs = send(sys.argv[1], float(sys.argv[2]), int(size_and_rate[0]), int(size_and_rate[1]),
                 size_and_rate[2])
    print(json.dumps({"sent": pairs}), flush=True)
    rclpy.try_shutdown()
