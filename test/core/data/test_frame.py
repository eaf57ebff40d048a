"""A frame at a smaller size."""

import numpy as np

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame


def test_a_reduced_frame_shows_the_same_points():
    camera = Camera(101, 66, 80.0, 81.0, 50.0, 33.0)
    image = np.repeat(np.linspace(0, 255, 101)[None], 66, axis=0).astype(np.uint8)
    mask = np.zeros((66, 101), np.uint8)
    mask[:, 50:] = 255
    frame = Frame(7, image, np.full((66, 101), 2.0, np.float32), camera, mask)
    assert frame.reduced(101 * 66) is frame
    for most, size in ((6665, (33, 50)), (500, (16, 25))):
        small = frame.reduced(most)
        assert small.image.shape == small.depth_m.shape == small.mask.shape == size
        assert (small.depth_m == 2.0).all() and small.stamp_ns == 7
        right = np.flatnonzero(small.mask[0])[0]
        assert abs(right - size[1] / 2) <= 1
        assert abs(int(small.image[0, right]) - 128) < 12
        middle = small.camera.project(np.array([[0.1, 0.1, 1.0]]))[0] * 101 / size[1]
        assert np.abs(middle - camera.project(np.array([[0.1, 0.1, 1.0]]))[0]).max() < 4.0
