"""What a live tracker puts off: nothing is lost, and every-frame runs do not."""

import numpy as np
import pytest
import torch

from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.odometry.local_map import LocalMap
from ace_slam_ros.core.tracking import scheduler as late_work
from ace_slam_ros.core.tracking.tracker import Tracker, TrackerState
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.synth.sequence import write_sequence

CONFIG = SlamConfig().with_values({
    "encoder.threads": 1, "device": "cpu", "tracker.frame_deadline_ms": 10000.0,
    "keyframe.translation_m": 0.03, "keyframe.rotation_deg": 2.0})
NEVER_MS = 1e9


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderConfig(), torch.device("cpu"))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room") / "room"
    return list(open_source(write_sequence(folder, "room", 5, 60, progress=False)))


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


def neighbors(frames):
    """A local map with two keyframes whose window is not adjusted."""
    local = LocalMap(CONFIG.tracker, CONFIG.sensor)
    assert local.add(0, frames[0], np.eye(4), np.zeros((6, 6)))
    local.adjust()
    guess = exp_se3(np.array([0.0, 0.0, 0.01, 0.0, 0.0, 0.0]))
    assert local.add(1, frames[3], guess, np.zeros((6, 6)))
    return local


def test_an_adjustment_in_steps_is_the_same(frames):
    at_once, steps = neighbors(frames), neighbors(frames)
    at_once.adjust()
    stages = []
    while steps.next_step:
        stages.append(steps.next_step)
        steps.adjust_step()
    assert stages == ["link", "adjust", "adjust", "adjust"]
    assert not np.array_equal(steps.pose(1), neighbors(frames).pose(1))
    assert np.array_equal(at_once.pose(1), steps.pose(1)) and not at_once.next_step


def test_a_new_keyframe_takes_over_what_is_left_of_the_adjustment(frames):
    local, thorough = neighbors(frames), neighbors(frames)
    thorough.adjust()
    for each in (local, thorough):
        assert each.add(2, frames[6], each.pose(1), np.zeros((6, 6)))
        each.adjust()
        assert not each.next_step
    assert pose_error(local.pose(1), thorough.pose(1))[0] < 0.003
    links = {(h.id, i) for h in local._keyframes.values() for i in h.tracks}
    assert links == {(h.id, i) for h in thorough._keyframes.values() for i in h.tracks}
    assert (0, 1) in links


def test_what_an_adjustment_moves_is_less_sure_than_it_was_thought(frames):
    local = neighbors(frames)
    before = local.pose(1)
    local.adjust()
    moved_m = local.pose(1)[:3, 3] - before[:3, 3]
    covariance = local.nearest(local.pose(1), 1)[0][1].covariance_66
    assert np.sqrt(np.trace(covariance[:3, :3])) > 0.9 * np.linalg.norm(moved_m)


def test_a_correction_between_the_steps_is_kept(frames):
    moved = exp_se3(np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]))
    local, expected = neighbors(frames), neighbors(frames)
    expected.adjust()
    for _ in range(2):
        local.adjust_step()
    local.shift(moved, first=0)
    local.adjust()
    assert pose_error(local.pose(1), moved @ expected.pose(1))[0] < 1e-6
