"""What a run's summary says of its frames: looks of the head, CPU time, times lost, submaps."""

import math

import numpy as np
import pytest

from ace_slam_ros.apps.recorder import RunRecorder
from ace_slam_ros.core.data.poses import Support
from ace_slam_ros.core.tracking.result import TrackerState, TrackResult
from ace_slam_ros.viewer.rerun_view import NoView


def recorded(frames):
    """A run of (submap or None without pose, stages, CPU ms), ten frames per second."""
    run = RunRecorder(NoView())
    for number, (submap, stages, cpu_ms) in enumerate(frames):
        pose = None if submap is None else np.eye(4)
        run.add(TrackResult(
            stamp_ns=number * 100_000_000,
            state=TrackerState.LOST if pose is None else TrackerState.TRACKING,
            map_id="map", submap=submap or 0, map_revision=0, T_map_cam=pose, covariance_66=None,
            T_map_cam_raw=None, support=Support(), weights_version=1, processing_ms=1.0,
            stages_ms=dict.fromkeys(stages, 1.0), reason=""), 1.0, cpu_ms)
    return run


def posed(*submaps):
    return recorded([(submap, (), 1.0) for submap in submaps])


def test_the_longest_time_lost_is_between_poses_in_the_map():
    assert posed(0, 0, 0).longest_lost_s == 0.0
    assert posed(None, None, None, 0, 0).longest_lost_s == 0.0, "not lost: nothing to find yet"
    assert posed(0, None, 0, None, None, None, 0).longest_lost_s == pytest.approx(0.3)
    assert posed(0, None, None, 1, 1, 0, None).longest_lost_s == pytest.approx(0.4)
    assert posed(0, None, None, None).longest_lost_s == pytest.approx(0.2), "until the end"


def test_submaps_are_those_that_the_camera_was_in():
    assert posed(None, 0, 0).submaps == 1
    assert posed(0, 1, 1, None, 0).submaps == 2


def test_looks_and_times_are_those_of_the_whole_run():
    frames = [(0, ("encode",), 500.0)] + [(0, ("align", "encode", "localize"), 12.0)] * 6
    frames += [(0, ("align",), 4.0)] * 3  # at the end: a mean over recent frames would see these
    run = recorded(frames)
    assert run.head_share == pytest.approx(0.6)
    assert run.cpu_ms_per_frame == pytest.approx((6 * 12 + 3 * 4) / 9)
    empty = recorded([])
    assert empty.head_share == 0.0 and math.isnan(empty.cpu_ms_per_frame)
    assert empty.longest_lost_s == 0.0 and empty.submaps == 0
