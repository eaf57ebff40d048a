"""Scans within keyframe messages: they come back as they were, and damage is refused."""

from array import array
from dataclasses import replace

import numpy as np
import pytest
from helpers.keyframes import keyframe

from ace_slam_ros.core.data.floor_scan import FloorScan
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.ros.messages.conversions import keyframe_from_msg, keyframe_to_msg

SCAN = FloorScan(np.array([0.0, 0.8, 0.6, 1.25]), -0.5, 0.005,
                 np.arange(-100, 100, dtype=np.int16) * 40)
KEYFRAME = replace(keyframe(3, np.eye(4), np.ones((5, 3))), scan=SCAN)


def message():
    return keyframe_to_msg(KEYFRAME, "m", "hash", "map")


def test_a_scan_comes_back():
    found = keyframe_from_msg(message()).scan
    assert np.array_equal(found.ranges_mm_K, SCAN.ranges_mm_K)
    assert found.ranges_mm_K.dtype == np.int16
    assert np.allclose(found.floor_4, SCAN.floor_4, atol=1e-6)
    assert (found.first_rad, found.step_rad) == pytest.approx((-0.5, 0.005), abs=1e-7)
    assert len(message().scan_mm) * 2 + 24 < 1000, "100 kB for 100 keyframes"


def test_a_keyframe_without_one_has_none():
    assert keyframe_from_msg(
        keyframe_to_msg(replace(KEYFRAME, scan=None), "m", "hash", "map")).scan is None


@pytest.mark.parametrize(("field", "value", "words"), [
    ("floor", [float("nan"), 0.8, 0.6, 1.0], "no plane"), ("floor", [0.0] * 4, "no plane"),
    ("scan_step_rad", 0.0, "no part of a turn"), ("scan_first_rad", float("inf"), "no part"),
    ("scan_mm", array("h", [0] * 1_000_000), "at most 256"),
    ("scan_mm", array("h", [-32768]), "farther than"),
])
def test_what_is_no_scan_is_refused(field, value, words):
    msg = message()
    setattr(msg, field, value)
    with pytest.raises(DataError, match=f"keyframe 3.*{words}"):
        keyframe_from_msg(msg)
