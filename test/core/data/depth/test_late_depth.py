"""Depth of another instant, against rendered depth of both."""

import numpy as np
import pytest
from helpers.floors import CAMERA, camera_at, look

from ace_slam_ros.core.data.depth.late_depth import at_color_time, move_twin, moved_depth
from ace_slam_ros.core.geometry.se3 import exp_se3

BOXES = [((1.5, -0.5, 0.0), (2.0, 0.2, 0.8)), ((2.5, -3.0, 0.0), (2.6, 3.0, 3.0))]
#: Half a meter per second and 60 degrees per second.
TWIST = np.array([0.3, -0.2, 0.4, 0.3, 0.9, -0.4])


def late(late_s):
    """A frame whose depth is of another time, and its depth as it should be."""
    T = camera_at(height_m=1.0, pitch_deg=20.0)
    frame, then = look(T, BOXES), look(T @ exp_se3(TWIST * late_s), BOXES)
    object.__setattr__(then, "depth_late_s", late_s)
    return then, frame.depth_m


@pytest.mark.parametrize("late_s", [0.015, -0.015])
def test_depth_of_another_time_is_brought_to_the_color_image(late_s):
    frame, expected = late(late_s)
    found = at_color_time(frame, TWIST)
    both = (found.depth_m > 0) & (expected > 0)
    assert both.mean() > 0.9 * (expected > 0).mean() and found.depth_late_s == 0.0
    before = np.abs(frame.depth_m - expected)[both & (frame.depth_m > 0)]
    after = np.abs(found.depth_m - expected)[both]
    assert np.median(after) < 0.25 * np.median(before)
    assert (after > 0.05).mean() < 0.3 * (before > 0.05).mean()
    assert found.gray is frame.gray


def test_a_frame_stays_as_it_is_where_nothing_is_to_be_done():
    frame, _ = late(0.015)
    assert at_color_time(frame, None) is frame
    for late_s in (0.0, 0.0005, 0.2):
        object.__setattr__(frame, "depth_late_s", late_s)
        assert at_color_time(frame, TWIST) is frame


def test_the_compiled_loop_does_as_its_twin():
    frame, _ = late(0.02)
    depth = frame.depth_m.copy()
    depth[::7, ::3] = 0.0
    depth[5:9] = np.nan
    motion = TWIST * 0.02
    found, twin = moved_depth(depth, CAMERA, motion), np.zeros_like(depth)
    sampled = depth[::16, ::16]
    view = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    move_twin(depth, view, motion, float(np.median(sampled[sampled > 0])), twin)
    assert (np.abs(found - twin) > 1e-5).mean() < 1e-3 and (found > 0).mean() > 0.3
