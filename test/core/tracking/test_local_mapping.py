"""The work after tracking: put off, nothing is lost; done at once, it is as every frame."""

import time

import numpy as np
import pytest
from helpers.tracking import new_keyframe, process

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.slam import Slam
from ace_slam_ros.core.tracking import local_mapping
from ace_slam_ros.core.tracking.pose_selection import Verdict
from ace_slam_ros.core.tracking.result import TrackerState
from ace_slam_ros.core.tracking.tracker import Tracker

pytestmark = pytest.mark.render
CONFIG = SlamConfig().with_values({
    "encoder.threads": 1, "device": "cpu",
    "keyframe.translation_m": 0.03, "keyframe.rotation_deg": 2.0})


@pytest.fixture(scope="module")
def frames(room_frames):
    return room_frames[:60]


def play(encoder, frames, patience_s):
    """Return tracker, mapper and results of a run with so much time after each frame's arrival."""
    tracker = Tracker(CONFIG, encoder)
    mapper = Mapper(CONFIG, encoder, map_id=tracker.map_id)
    results = []
    for number, frame in enumerate(frames):
        results.append(process(tracker, frame, deadline_s=time.monotonic() + patience_s))
        for keyframe in results[-1].keyframes:
            mapper.add_keyframe(keyframe, tracker.map_id)
        if mapper.work(10.0):
            tracker.set_head(mapper.export_head(), number + 1)
    return tracker, mapper, results


@pytest.mark.parametrize("patience_s", [1000.0, -1000.0])
def test_all_is_done_in_time_or_a_few_frames_later(encoder, frames, patience_s):
    tracker, mapper, results = play(encoder, frames, patience_s)
    late = patience_s < 0.0
    assert all(r.state is TrackerState.TRACKING for r in results)
    raw = [pose_error(r.T_map_cam_raw, r.T_map_cam)[0] for r in results
           if r.T_map_cam_raw is not None]
    assert len(raw) >= 3 and np.median(raw) < 0.03
    assert all(pose_error(r.T_map_cam, s.T_map_cam)[0] < 0.1
               for r, s in zip(results, results[1:], strict=False))
    waited = tracker.gave_up["waited_frames"]
    assert waited > 2.0 if late else waited == 0.0
    # every keyframe that the local map believes sent was sent, but the one that may still wait
    mapped = {k.id for k in tracker._local if k.T_mapped is not None}
    sent = {k.id: (r, k) for r in reversed(results) for k in r.keyframes}
    assert len(sent) >= 2 and 0 <= len(mapped - set(sent)) <= 1
    assert mapper.keyframe_count == len(sent)
    if late:
        delays_s = [(r.stamp_ns - k.stamp_ns) * 1e-9 for r, k in sent.values()]
        assert 0.0 < max(delays_s) < 0.3, "a keyframe has the stamp of its own frame"


def test_with_time_enough_a_keyframe_is_done_at_once(encoder, frames):
    _, _, results = play(encoder, frames, 1000.0)
    made = [r for r in results[1:] if new_keyframe(r) is not None]
    assert made
    assert all({"keyframe", "encode", "link", "adjust"} <= set(r.stages_ms) for r in made)


def test_the_live_path_without_a_deadline_is_every_frame(encoder, frames):
    """The calls of a node, pose by pose and keyframe by keyframe, against `Slam`."""
    slam = Slam(CONFIG, encoder)
    tracker = Tracker(CONFIG, encoder)
    mapper, version = Mapper(CONFIG, encoder, map_id=tracker.map_id), 0
    for frame in frames:
        expected = slam.process(frame)
        tracked = tracker.track(frame)
        assert np.array_equal(tracked.T_map_cam, expected.T_map_cam)
        assert np.array_equal(tracked.covariance_66, expected.covariance_66)
        result = tracked.with_work(tracker.work(float("inf")))
        assert (result.T_map_cam_raw is None) == (expected.T_map_cam_raw is None)
        if result.T_map_cam_raw is not None:
            assert np.array_equal(result.T_map_cam_raw, expected.T_map_cam_raw)
        assert [k.id for k in result.keyframes] == [k.id for k in expected.keyframes]
        for own, other in zip(result.keyframes, expected.keyframes, strict=True):
            assert np.array_equal(own.T_map_cam, other.T_map_cam)
            assert np.array_equal(own.descriptors_i8_ND, other.descriptors_i8_ND)
            mapper.add_keyframe(own, tracker.map_id)
        if result.keyframes and mapper.work(float("inf")):
            version += 1
            tracker.set_head(mapper.export_head(), version)
    assert mapper.keyframe_count == slam.mapper.keyframe_count >= 2
    for identifier, pose in mapper.keyframe_poses.items():
        assert np.array_equal(pose.T_map_cam, slam.mapper.keyframe_poses[identifier].T_map_cam)


def test_a_head_that_disagrees_sees_the_next_frame_at_once(encoder, frames, monkeypatch):
    tracker, _, _ = play(encoder, frames[:40], 1000.0)
    monkeypatch.setattr(local_mapping, "judge", lambda *a, **b: Verdict.REPLACE)
    doubted = None
    for frame in frames[40:]:
        tracked = tracker.track(frame)
        if doubted:
            assert {"encode", "localize"} <= set(tracked.stages_ms)
            break
        result = tracked.with_work(tracker.work(time.monotonic() + 1000.0))
        doubted = result.T_map_cam_raw is not None
    assert doubted
