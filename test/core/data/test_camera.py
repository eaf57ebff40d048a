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
