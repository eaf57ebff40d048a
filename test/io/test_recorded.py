"""A recorded sequence from a real camera; skipped where it is not at hand."""

from itertools import islice

import numpy as np
import pytest

from ace_slam_ros.io import open_source
from ace_slam_ros.io.convert import convert


@pytest.fixture(scope="module")
def source(tum_fr1_xyz):
    return open_source(tum_fr1_xyz)


def test_pairs_and_groundtruth(source):
    assert len(source) == 789
    assert source.camera.fx == 517.306408 and not source.camera.is_distorted
    _, valid = source.groundtruth.at(source.stamps_ns)
    assert valid.mean() > 0.98


def test_frames_are_plausible(source):
    for frame in islice(source, 5):
        assert frame.image.shape == (480, 640, 3)
        measured = frame.depth_m[frame.depth_m > 0]
        assert len(measured) > 0.5 * 640 * 480
        assert 0.3 < np.median(measured) < 3.0
    assert source.skips.total == 0


def test_desk_pixels_agree_across_a_bag(tum_fr1_xyz, source, tmp_path):
    report = convert(tum_fr1_xyz, tmp_path / "bag", start_s=2.0, limit=4, transport="compressed")
    assert report.frames == 4 and report.color_passed_through
    copy = open_source(tmp_path / "bag")
    first = int(np.searchsorted(source.stamps_ns, copy.stamps_ns[0]))
    for offset, frame in enumerate(copy):
        original = source[first + offset]
        np.testing.assert_array_equal(frame.image, original.image)
        assert np.abs(frame.depth_m - original.depth_m).max() <= 0.0005 + 1e-6
