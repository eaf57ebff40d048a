"""Tracks of corners with known poses, and pictures to follow them in."""

import cv2
import numpy as np

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.camera import Camera

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR = SensorConfig()


def scene(rng, count=200):
    """Points in front of a camera at the origin, and their pixels."""
    pixels = rng.uniform((20, 20), (620, 460), (count, 2))
    return CAMERA.unproject(pixels, rng.uniform(0.8, 3.0, count)), pixels


def numeric(function, size, step=1e-6):
    """Central differences of a vector function, one column per unknown."""
    return np.stack([(function(step * e) - function(-step * e)) / (2 * step)
                     for e in np.eye(size)], axis=-1)


def picture(rng):
    """A picture with texture of several sizes."""
    gray = sum(cv2.GaussianBlur(rng.normal(0, 1, (480, 640)), (0, 0), s) * s for s in (1, 3, 9))
    gray = (gray - gray.min()) / (gray.max() - gray.min())
    return (255 * gray).astype(np.uint8)
