"""Calibration messages and files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import CalibrationError
from ace_slam_ros.io import (
    camera_from_info,
    read_camera_yaml,
    write_camera_yaml,
)

K = [500.0, 0, 320.0, 0, 510.0, 240.0, 0, 0, 1]


def test_camera_from_info_plain():
    camera = camera_from_info(640, 480, K, [0.1, 0, 0, 0, 0], "plumb_bob")
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 320, 240)
    assert camera.distortion == (0.1, 0, 0, 0, 0)


def test_camera_from_info_binning_and_roi_match_an_image():
    """A point's pixel in the cropped, binned image is the camera's projection."""
    full = camera_from_info(640, 480, K, [], "")
    part = camera_from_info(640, 480, K, [], "", 2, 2, (100, 40, 400, 300))
    assert (part.width, part.height) == (200, 150)
    point = np.array([[0.1, -0.2, 2.0]])
    u, v = full.project(point)[0]
    # Full pixel u covers [u - 0.5, u + 0.5]; cropping shifts it, binning halves the edges.
    expected = [(u - 100 + 0.5) / 2 - 0.5, (v - 40 + 0.5) / 2 - 0.5]
    np.testing.assert_allclose(part.project(point)[0], expected)


@pytest.mark.parametrize(("k", "d", "fix"), [
    ([0.0] * 9, [], "calibrate the camera"), ([], [], "calibrate the camera"),
    ([np.nan, *K[1:]], [], "calibrate"), (K, [0.1, 0.2], "2 distortion coefficients"),
    (K, [np.nan] * 5, "NaN"),
])
def test_camera_from_info_refuses(k, d, fix):
    with pytest.raises(CalibrationError, match=fix):
        camera_from_info(640, 480, k, d, "plumb_bob")


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(1e-3, 1e6))
@settings(max_examples=20, deadline=None)
def test_camera_yaml_round_trip(tmp_path_factory, d, scale):
    path = tmp_path_factory.mktemp("yaml") / "camera.yaml"
    camera = camera_from_info(640, 480, [517.306408, *K[1:]], d, "plumb_bob")
    write_camera_yaml(path, camera, scale)
    assert read_camera_yaml(path) == (camera, scale)


@pytest.mark.parametrize(("text", "fix"), [
    (None, "missing: write.*fx: 525"), ("", "write e.g."), ("- 1", "write e.g."),
    ("width: 640", "'height' must be a number"), ("{a: [", "not yaml"),
    ("{width: 640, height: 480, fx: zero, fy: 1, cx: 1, cy: 1}", "'fx' must be a number"),
    ("{width: 640, height: 480, fx: 0, fy: 1, cx: 1, cy: 1}", "fx=0.0"),
    ("{width: 640, height: 480, fx: .nan, fy: 1, cx: 1, cy: 1}", "fx=nan"),
    ("{width: 640, height: 480, fx: 1, fy: 1, cx: 1, cy: 1, d: 3}", "list of numbers"),
    ("{width: .inf, height: 480, fx: 1, fy: 1, cx: 1, cy: 1}", "width=inf"),
    ("{width: 64.5, height: 480, fx: 1, fy: 1, cx: 1, cy: 1}", "width=64.5"),
    ("{width: 640, height: 480, fx: 1, fy: 1, cx: 1, cy: 1, depth_scale: 0}", "not positive"),
    ("{width: 64, height: 48, fx: 1, fy: 1, cx: 1, cy: 1, distortion_model: x, d: [1]}",
     "unknown"),
])
def test_camera_yaml_errors(tmp_path, text, fix):
    path = tmp_path / "camera.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CalibrationError, match=fix) as caught:
        read_camera_yaml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cx", [1318.0, -20.0, 0.0])
def test_a_principal_point_outside_of_the_image_is_refused(tmp_path, cx):
    file = tmp_path / "camera.yaml"
    file.write_text(f"{{width: 640, height: 480, fx: 525, fy: 525, cx: {cx}, cy: 239.5}}")
    with pytest.raises(CalibrationError, match=r"principal point .* outside of the 640x480 image"):
        read_camera_yaml(file)
    with pytest.raises(CalibrationError, match="outside"):
        camera_from_info(640, 480, [525, 0, cx, 0, 525, 239.5, 0, 0, 1], [], "plumb_bob")


@pytest.mark.parametrize(("half", "said"), [(1.0, False), (2.0, True)])
def test_intrinsics_that_seem_to_be_of_another_resolution_are_named(tmp_path, caplog, half, said):
    file = tmp_path / "camera.yaml"
    file.write_text(f"{{width: 640, height: 480, fx: {525 / half}, fy: {525 / half}, "
                    f"cx: {319.5 / half}, cy: {239.5 / half}}}")
    read_camera_yaml(file)
    assert ("another resolution" in caplog.text) == said
