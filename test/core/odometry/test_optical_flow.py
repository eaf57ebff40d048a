"""Following corners from image to image."""

import cv2
import numpy as np
import pytest
from helpers.tracks import picture

from ace_slam_ros.core.odometry.corners import contrast, detect_corners
from ace_slam_ros.core.odometry.optical_flow import Template, follow


def test_corners_are_followed_through_a_turn():
    rng = np.random.default_rng(5)
    image = picture(rng)
    turn = cv2.getRotationMatrix2D((320, 240), 15.0, 1.15)
    turned = cv2.warpAffine(image, turn, (640, 480))
    corners = detect_corners(image, 200)
    true = corners @ turn[:, :2].T + turn[:, 2]
    guess = (true + rng.uniform(-3, 3, true.shape)).astype(np.float32)
    template = Template(image, corners, contrast(image, corners))
    index, found = follow(template, turned, guess, False)
    error = np.linalg.norm(found - true[index], axis=1)
    assert len(index) > 0.6 * len(corners) and np.median(error) < 0.1


def test_a_warped_template_is_used_again_while_it_fits():
    """The turn is too large for windows that are not turned; the camera goes on and comes back."""
    rng = np.random.default_rng(7)
    image = picture(rng)
    corners = detect_corners(image, 200)
    template = Template(image, corners, contrast(image, corners))
    warped = []
    for degrees, right_px in ((15.0, 0.0), (15.3, 3.0), (15.0, 60.0), (25.0, 60.0), (0.0, 0.0)):
        turn = cv2.getRotationMatrix2D((320, 240), degrees, 1.0)
        turn[0, 2] += right_px
        true = (corners @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
        index, found = follow(
            template, cv2.warpAffine(image, turn, (640, 480)), true + np.float32(1.0), False)
        assert len(index) > 0.6 * len(corners)
        assert np.median(np.linalg.norm(found - true[index], axis=1)) < 0.1
        warped.append(template.towards(index, true[index])[0])
    assert warped[1] is warped[0], "a quarter of a degree and three pixels"
    assert warped[2] is not warped[1], "a tenth of the image would be missing"
    assert warped[3] is not warped[2] and warped[4] is image


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_is_followed_into_a_blank_image(value):
    image = picture(np.random.default_rng(6))
    corners = detect_corners(image, 200)
    blank = np.full_like(image, value)
    template = Template(image, corners, contrast(image, corners))
    index, _ = follow(template, blank, corners.copy(), False)
    assert len(index) == 0
