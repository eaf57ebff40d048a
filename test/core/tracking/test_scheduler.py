"""What a live tracker puts off: nothing is lost, and every-frame runs do not."""

import numpy as np
import pytest

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking import scheduler as late_work
from ace_slam_ros.core.tracking.tracker import Tracker, TrackerState

pytestmark = pytest.mark.render
CONFIG = SlamConfig().with_values({
    "encoder.threads": 1, "device": "cpu", "tracker.frame_deadline_ms": 10000.0,
    "keyframe.translation_m": 0.03, "keyframe.rotation_deg": 2.0})
NEVER_MS = 1e9


@pytest.fixture(scope="module")
def frames(room_frames):
    return room_frames[:60]


def play(encoder, frames, late_ms):
    """Return tracker, mapper and the results of a live run."""
    tracker = Tracker(CONFIG, encoder, live=True)
    mapper = Mapper(CONFIG, encoder, map_id=tracker.map_id)
    results = []
    for number, frame in enumerate(frames):
        results.append(tracker.process(frame, late_ms=late_ms))
        for keyframe in results[-1].for_mapper:
            mapper.add_keyframe(keyframe, tracker.map_id)
        if mapper.work(10.0):
            tracker.set_head(mapper.export_head(), number + 1)
    return tracker, mapper, results


@pytest.mark.parametrize("late_ms", [0.0, NEVER_MS])
def test_all_is_done_in_time_or_a_few_frames_later(encoder, frames, late_ms):
    tracker, mapper, results = play(encoder, frames, late_ms)
    assert all(r.state is TrackerState.TRACKING for r in results)
    raw = [pose_error(r.T_map_cam_raw, r.T_map_cam)[0] for r in results
           if r.T_map_cam_raw is not None]
    assert len(raw) >= 3 and np.median(raw) < 0.03
    assert all(pose_error(r.T_map_cam, s.T_map_cam)[0] < 0.1
               for r, s in zip(results, results[1:], strict=False))
    waited = tracker.gave_up["waited_frames"]
    assert waited > 2.0 if late_ms else waited == 0.0
    # every keyframe that the local map believes sent was sent, but the one that may still wait
    mapped = {k.id for k in tracker._local._keyframes.values() if k.T_mapped is not None}
    sent = {r.keyframe.id: r for r in results if r.keyframe is not None}
    assert len(sent) >= 2 and 0 <= len(mapped - set(sent)) <= 1
    assert mapper.keyframe_count == len(sent)
    if late_ms:
        delays_s = [(r.stamp_ns - r.keyframe.stamp_ns) * 1e-9 for r in sent.values()]
        assert 0.0 < max(delays_s) < 0.3, "a keyframe has the stamp of its own frame"


def test_with_time_enough_a_keyframe_is_done_at_once(encoder, frames):
    _, _, results = play(encoder, frames, 0.0)
    made = [r for r in results[1:] if r.keyframe is not None]
    assert made and all(r.keyframe.stamp_ns == r.stamp_ns for r in made)
    assert all({"keyframe", "encode", "link", "adjust"} <= set(r.stages_ms) for r in made)


def test_a_head_that_disagrees_sees_the_next_frame_at_once(encoder, frames, monkeypatch):
    tracker, _, _ = play(encoder, frames[:40], 0.0)
    monkeypatch.setattr(late_work, "overrides", lambda *a: True)
    doubted = None
    for frame in frames[40:]:
        result = tracker.process(frame, late_ms=NEVER_MS if doubted else 0.0)
        if doubted:
            assert {"encode", "localize"} <= set(result.stages_ms)
            break
        doubted = result.T_map_cam_raw is not None
    assert doubted
