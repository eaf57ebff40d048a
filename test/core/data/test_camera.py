"""Cameras: unprojection inverts projection, impossible ones are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import CalibrationError


@given(st.floats(0.3, 5), st.floats(0, 639), st.floats(0, 479))
def test_unprojection_inverts_projection(depth, u, v):
    camera = Camera(640, 480, 520, 521, 319, 241)
    point = camera.unproject(np.array([[u, v]]), np.array([depth]))
    assert np.allclose(camera.project(point), [[u, v]], atol=1e-9)
    assert point[0, 2] == depth


def test_impossible_cameras_are_refused_with_the_fix():
    with pytest.raises(CalibrationError, match="calibrate"):
        Camera(640, 480, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(CalibrationError, match="unknown distortion"):
        Camera(640, 480, 500, 500, 320, 240, (0.1,), "magic")
    with pytest.raises(CalibrationError, match="positive"):
        Camera(0, 480, 500, 500, 320, 240)


@pytest.mark.parametrize(("model", "d", "expected"), [
    ("plumb_bob", 8 * (0.1,), ("rational_polynomial", 8 * (0.1,))),
    ("plumb_bob", (*5 * (0.1,), *9 * (0.0,)), ("rational_polynomial", (*5 * (0.1,), *9 * (0.0,)))),
    ("rational_polynomial", 5 * (0.1,), ("plumb_bob", 5 * (0.1,))),
    ("Rational Polynomial", (*6 * (0.1,), 0.0, 0.0, 0.0), (
        "rational_polynomial", (*6 * (0.1,), 0.0, 0.0))),
    ("fisheye", (*4 * (0.1,), 0.0), ("equidistant", 4 * (0.1,))),
    ("magic", 3 * (0.0,), ("plumb_bob", ())),
])
def test_distortion_as_drivers_write_it(model, d, expected):
    camera = Camera(640, 480, 500, 500, 320, 240, d, model)
    assert (camera.distortion_model, camera.distortion) == expected


@pytest.mark.parametrize(("model", "d", "fix"), [
    ("magic", (0.1,), "one of these, or send rectified"),
    ("plumb_bob", 3 * (0.1,), "3 distortion coefficients"),
    ("equidistant", 5 * (0.1,), "equidistant takes 4: calibrate"),
    ("plumb_bob", 15 * (0.1,), "15 distortion coefficients"),
])
def test_distortion_that_means_nothing_is_refused_with_the_fix(model, d, fix):
    with pytest.raises(CalibrationError, match=fix):
        Camera(640, 480, 500, 500, 320, 240, d, model)
