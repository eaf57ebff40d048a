"""Tracker, mapper, relocalizer and pipeline on rendered and recorded sequences."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from ace_slam_ros.apps.relocalize import relocalize_sequence
from ace_slam_ros.apps.run import run_sequence
from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import PoseEstimate, RefinedPose
from ace_slam_ros.core.data.trajectory import Trajectory, read_tum
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.errors import ConfigError, MapError
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error
from ace_slam_ros.core.localization.relocalizer import RelocalizationReason, Relocalizer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.tracker import Tracker, TrackerState
from ace_slam_ros.evaluation.trajectory_error import absolute_trajectory_error
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.synth.sequence import write_sequence

CONFIG = SlamConfig().with_overrides(["encoder.threads=1", "device=cpu"])
FRAMES = 75


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderConfig(), torch.device("cpu"))


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room") / "room"
    return write_sequence(folder, "room", 5, FRAMES, progress=False)


@pytest.fixture(scope="module")
def frames(room):
    return list(open_source(room))


@pytest.fixture(scope="module")
def mapped(encoder, frames):
    """A tracker and mapper that have seen the room."""
    tracker = Tracker(CONFIG, encoder)
    mapper = Mapper(CONFIG, encoder, map_id=tracker.map_id)
    results = []
    for frame in frames:
        results.append(tracker.process(frame))
        if results[-1].keyframe is not None:
            mapper.add_keyframe(results[-1].keyframe, tracker.map_id)
            mapper.work(10.0)
            tracker.set_head(mapper.export_head(), len(results))
    return mapper, results


def black(frame):
    return Frame(frame.stamp_ns, np.zeros_like(frame.image), np.zeros_like(frame.depth_m),
                 frame.camera)


def covered(frame, value):
    """The frame with a hand, or a light, right before the camera."""
    return Frame(frame.stamp_ns, np.full_like(frame.image, value), np.zeros_like(frame.depth_m),
                 frame.camera)


def test_the_room_is_tracked_and_mapped(mapped, frames, room):
    mapper, results = mapped
    assert all(r.state is TrackerState.TRACKING for r in results)
    estimate = Trajectory(np.array([r.stamp_ns for r in results]),
                          np.stack([r.T_map_cam for r in results]))
    truth = open_source(room).groundtruth
    assert absolute_trajectory_error(estimate, truth).rmse_m < 0.02
    assert 2 <= mapper.keyframe_count < len(frames)
    assert len(mapper.export_head()) < 1_200_000
    for result in results[1:]:
        assert np.linalg.eigvalsh(result.covariance_66).min() > 0
    keyframes = {r.keyframe.id: r.keyframe for r in results if r.keyframe is not None}
    assert keyframes[0].reference is None
    for keyframe in list(keyframes.values())[1:]:
        identifier, T_reference_cam = keyframe.reference
        step = keyframes[identifier].T_map_cam @ T_reference_cam
        assert pose_error(step, keyframe.T_map_cam)[0] < 0.02


def test_scene_coordinates_alone_know_the_place(mapped):
    _, results = mapped
    raw = [pose_error(r.T_map_cam_raw, r.T_map_cam)[0] for r in results
           if r.T_map_cam_raw is not None]
    assert len(raw) > 0.9 * len(results) and np.median(raw) < 0.03


def test_first_pose_is_the_one_asked_for(encoder, frames):
    T_first = exp_se3(np.array([1, 2, 3, 0.1, 0.2, 0.3]))
    result = Tracker(CONFIG, encoder, T_map_cam_first=T_first).process(frames[0])
    assert np.allclose(result.T_map_cam, T_first)
    tracker = Tracker(CONFIG, encoder)
    tracker.set_first_pose(T_first)
    assert np.allclose(tracker.process(frames[0]).T_map_cam, T_first)


def test_a_covered_camera_is_lost_and_found_again(mapped, encoder, frames):
    mapper, results = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 3)
    assert tracker.state is TrackerState.LOST and tracker.map_id == mapper.map_id
    found = tracker.process(frames[20])
    assert found.state is TrackerState.TRACKING and found.weights_version == 3
    assert pose_error(found.T_map_cam, results[20].T_map_cam)[0] < 0.05
    states = []
    for number, frame in enumerate(frames[21:32]):
        dark = tracker.process(covered(frame, (0, 255, 90)[number % 3]))
        assert dark.T_map_cam is None and "depth" in dark.reason
        states.append(dark.state)
    assert states[0] is TrackerState.TRACKING and states[-1] is TrackerState.LOST
    lost_after = states.index(TrackerState.LOST)
    assert 2 <= lost_after <= 5  # within 0.2 s at 30 Hz
    elsewhere = replace(frames[60], stamp_ns=frames[33].stamp_ns)  # kidnapped
    back = tracker.process(elsewhere)
    assert back.state is TrackerState.TRACKING
    assert pose_error(back.T_map_cam, results[60].T_map_cam)[0] < 0.05


def test_a_camera_covered_for_a_moment_is_followed_on_where_no_map_is(encoder, frames, mapped):
    _, results = mapped
    tracker = Tracker(CONFIG, encoder)  # gets no head: it has nothing but the images to go by
    for frame in frames[:8]:
        tracker.process(frame)
    for frame in frames[8:20]:
        hidden = tracker.process(covered(frame, 0))
    assert hidden.state is TrackerState.LOST
    late = replace(frames[20], stamp_ns=frames[20].stamp_ns + 1_100_000_000)
    back = tracker.process(frames[20])
    assert back.state is TrackerState.TRACKING
    assert pose_error(back.T_map_cam, results[20].T_map_cam)[0] < 0.02

    for number, frame in enumerate(frames[8:20]):
        tracker.process(covered(replace(frame, stamp_ns=back.stamp_ns + (number + 1) * 10**8), 0))
    assert tracker.process(late).state is TrackerState.LOST, "by now it may be anywhere"


def test_reset_starts_a_new_map_and_ignores_the_old_weights(mapped, encoder, frames):
    mapper, _ = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 1)
    tracker.reset()
    assert tracker.state is TrackerState.INIT and tracker.map_id != mapper.map_id
    tracker.set_head(mapper.export_head(), 2)
    assert tracker.state is TrackerState.INIT
    result = tracker.process(frames[40])
    assert np.allclose(result.T_map_cam, np.eye(4)) and result.keyframe.id == 0


def test_waits_for_a_usable_first_frame(encoder, frames):
    tracker = Tracker(CONFIG, encoder)
    result = tracker.process(black(frames[0]))
    assert result.state is TrackerState.INIT and "waiting" in result.reason
    assert tracker.process(frames[1]).state is TrackerState.TRACKING


def test_tracking_goes_on_without_a_mapper(encoder, frames):
    tracker = Tracker(CONFIG, encoder)
    results = [tracker.process(f) for f in frames[:20]]
    assert all(r.T_map_cam is not None and r.weights_version == 0 for r in results)


def test_every_frame_twice_is_identical(room, tmp_path):
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        source = _limited(room, 25)
        run_sequence(source, CONFIG, tmp_path / name, progress=False)
        texts.append((tmp_path / name / "trajectory.txt").read_bytes())
    assert texts[0] == texts[1]


def _limited(folder, count, start=0):
    """A source that ends after some frames."""
    source = open_source(folder)

    class Limited:
        name, path, camera, raw_camera = source.name, source.path, source.camera, source.raw_camera
        groundtruth, skips = source.groundtruth, source.skips
        stamps_ns = source.stamps_ns[start:start + count]

        def __len__(self):
            return len(self.stamps_ns)

        def __iter__(self):
            return (source[i] for i in range(start, min(start + count, len(source))))

    return Limited()


def test_run_and_relocalize_write_what_they_promise(room, tmp_path):
    run, query = tmp_path / "run", tmp_path / "query"
    run.mkdir()
    query.mkdir()
    run_sequence(_limited(room, FRAMES), CONFIG, run, realtime=True, progress=False)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["frames"] == FRAMES
    assert summary["tracked"] + summary["lost"] + summary["skipped"] == FRAMES
    assert summary["ate_rmse_m"] < 0.04 and summary["realtime_factor"] > 0.0
    for key in ("raw_ate_rmse_m", "rpe_trans_m_per_s", "latency_ms", "fps", "map_bytes",
                "keyframe_bytes", "peak_rss_mb", "device", "config", "version", "skipped"):
        assert summary[key] is not None
    assert len(read_tum(run / "trajectory.txt")) == summary["tracked"]
    assert (run / "trajectory.png").stat().st_size > 5000
    found = relocalize_sequence(run / "map", _limited(room, 12, 30), CONFIG, query, progress=False)
    assert found.queries == 12 and found.recall_5cm_5deg > 0.9 and found.false_accepts == 0
    rgb = relocalize_sequence(run / "map", _limited(room, 6, 30), CONFIG, query, rgb_only=True,
                              progress=False)
    assert rgb.mode == "rgb" and rgb.recall_10cm_5deg >= 0.5


def test_a_map_is_continued_and_localized_in(mapped, encoder, frames, tmp_path):
    mapper, results = mapped
    mapper.save(tmp_path / "map")
    again = Mapper(CONFIG, encoder)
    again.load(tmp_path / "map")
    assert again.map_id == mapper.map_id and again.keyframe_count == mapper.keyframe_count
    relocalizer = Relocalizer(CONFIG, encoder)
    assert relocalizer.locate(frames[3]).reason is RelocalizationReason.NO_MAP
    relocalizer.set_head(again.export_head(), 8)
    answer = relocalizer.locate(frames[45])
    assert answer.success and answer.weights_version == 8
    assert pose_error(answer.T_map_cam, results[45].T_map_cam)[0] < 0.05
    assert relocalizer.locate(frames[45], 0.999).reason is RelocalizationReason.LOW_CONFIDENCE
    assert relocalizer.locate(black(frames[45])).reason is RelocalizationReason.NO_SOLUTION


def test_a_later_session_starts_elsewhere_and_goes_on_with_the_map(
    mapped, encoder, frames, tmp_path
):
    """The second session's first view is not the map's origin; all it adds is in the old frame."""
    _, results = mapped
    places = [i for i, result in enumerate(results) if result.keyframe is not None]
    middle = len(places) // 2
    first = Mapper(CONFIG, encoder, map_id="shared")
    for i in places[:middle]:
        first.add_keyframe(results[i].keyframe, "shared")
    first.work(float("inf"))
    first.save(tmp_path / "map")

    mapper, tracker = Mapper(CONFIG, encoder), Tracker(CONFIG, encoder)
    mapper.load(tmp_path / "map")
    before = mapper.keyframe_count
    tracker.set_head(mapper.export_head(), 1)
    added = []
    for i in range(places[middle - 1] + 1, places[middle] + 8):
        found = tracker.process(frames[i])
        assert found.state is TrackerState.TRACKING, i
        assert pose_error(found.T_map_cam, results[i].T_map_cam)[0] < 0.05
        if found.keyframe is not None:
            added.append(found.keyframe.id)
            mapper.add_keyframe(found.keyframe, tracker.map_id)
            mapper.work(10.0)
            tracker.set_head(mapper.export_head(), i)
    assert tracker.map_id == mapper.map_id == "shared"
    assert added and mapper.keyframe_count == before + len(added), "no id was taken twice"


def test_correcting_keyframes_moves_the_map(mapped, encoder, frames, tmp_path):
    mapper, results = mapped
    mapper.save(tmp_path / "map")
    moved = Mapper(CONFIG, encoder)
    moved.load(tmp_path / "map")
    shift = exp_se3(np.array([0.5, 0.2, -0.1, 0, 0, 0.2]))
    before = moved.keyframe_trajectory()
    moved.move_keyframes({i: shift @ T for i, T in moved.keyframe_poses.items()})
    after = moved.keyframe_trajectory()
    assert np.allclose(after.T_map_cam_N44, shift @ before.T_map_cam_N44)
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(moved.export_head(), 1)
    answer = relocalizer.locate(frames[45])
    back = invert_pose(shift) @ answer.T_map_cam
    assert answer.success and pose_error(back, results[45].T_map_cam)[0] < 0.05


def test_mapper_memory_is_bounded(encoder, mapped):
    _, results = mapped
    config = CONFIG.with_values({"keyframe.max_count": 12, "mapper.pose_graph": False})
    mapper = Mapper(config, encoder, map_id="m")
    base = next(r.keyframe for r in results if r.keyframe is not None)
    for k in range(20):
        T = exp_se3(np.array([0.05 * k, 0, 0, 0, 0, 0])) @ base.T_map_cam
        mapper.add_keyframe(replace(base, id=k, stamp_ns=k, T_map_cam=T), "m")
        mapper.work(10.0)
    assert mapper.keyframe_count == 12
    assert {k for k in range(10, 20)} <= set(mapper.keyframe_poses)


def test_nothing_mapped_cannot_be_saved(encoder, tmp_path):
    with pytest.raises(MapError, match="nothing is mapped"):
        Mapper(CONFIG, encoder).save(tmp_path / "map")


def test_an_interrupted_run_leaves_no_thread_behind(room, tmp_path, monkeypatch):
    """One that still decodes would abort the interpreter's end."""
    def interrupt(self, frame, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Tracker, "process", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_sequence(_limited(room, FRAMES), CONFIG, tmp_path, realtime=True, progress=False)
    assert not {"camera", "mapper"} & {thread.name for thread in threading.enumerate()}


def test_real_sequence(tum_fr1_xyz, tmp_path):
    summary = run_sequence(open_source(tum_fr1_xyz), CONFIG, tmp_path, progress=False)
    assert summary.lost == 0 and summary.tracked == summary.frames == 789
    assert summary.ate_rmse_m < 0.02 and summary.raw_ate_rmse_m < 0.03
    assert summary.map_bytes < 1_200_000


def test_real_sequence_in_real_time(tum_fr1_xyz, tmp_path):
    summary = run_sequence(
        _limited(tum_fr1_xyz, 240), CONFIG, tmp_path, realtime=True, progress=False)
    assert summary.ate_rmse_m < 0.05
    assert summary.tracked + summary.lost + summary.skipped == 240


LOCALIZATION = CONFIG.with_values({"ros.mode": "localization"})


def test_localization_waits_for_the_map_and_reset_keeps_it(mapped, encoder, frames):
    mapper, results = mapped
    tracker = Tracker(LOCALIZATION, encoder)
    waiting = tracker.process(frames[0])
    assert waiting.T_map_cam is None and "waiting for the map" in waiting.reason
    tracker.set_head(mapper.export_head(), 4)
    for _ in range(2):
        assert tracker.state is TrackerState.LOST
        found = tracker.process(frames[10])
        assert found.state is TrackerState.TRACKING and found.keyframe is None
        assert pose_error(found.T_map_cam, results[10].T_map_cam)[0] < 0.05
        tracker.reset()
    assert tracker.map_id == mapper.map_id


def test_localization_follows_the_map_without_changing_it(mapped, encoder, frames):
    mapper, results = mapped
    tracker = Tracker(LOCALIZATION, encoder)
    tracker.set_head(mapper.export_head(), 4)
    for frame, expected in zip(frames[5:45], results[5:45], strict=True):
        result = tracker.process(frame)
        assert result.keyframe is None
        assert pose_error(result.T_map_cam, expected.T_map_cam)[0] < 0.05


def test_localization_without_a_map_is_refused(room, tmp_path):
    with pytest.raises(ConfigError, match="--map"):
        run_sequence(_limited(room, 3), LOCALIZATION, tmp_path, progress=False)


def test_a_change_of_image_size_is_survived(mapped, encoder, frames):
    mapper, results = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 1)
    for frame in frames[:5]:
        tracker.process(frame)
    for k in range(5, 9):
        small = frames[k]
        small = Frame(small.stamp_ns, np.ascontiguousarray(small.image[:400, :560]),
                      np.ascontiguousarray(small.depth_m[:400, :560]),
                      replace(small.camera, width=560, height=400))
        result = tracker.process(small)
        assert result.T_map_cam is not None
        assert pose_error(result.T_map_cam, results[k].T_map_cam)[0] < 0.05


def test_keyframe_ids_never_repeat(mapped, encoder, frames):
    mapper, _ = mapped
    seen = set(mapper.keyframe_poses)
    for _ in range(3):
        tracker = Tracker(CONFIG, encoder)
        tracker.set_head(mapper.export_head(), 1)
        base = tracker._keyframes.next_id
        assert base not in seen and base > max(seen)
        keyframe = next(iter(mapper._buffer.keyframes))
        assert mapper.add_keyframe(replace(keyframe, id=base, stamp_ns=base), mapper.map_id)
        assert not mapper.add_keyframe(replace(keyframe, id=base), mapper.map_id)
        mapper.work(10.0)
        seen.add(base)


def test_a_raw_pose_of_another_place_moves_no_keyframe(mapped, encoder, frames):
    mapper, _ = mapped
    tracker = Tracker(CONFIG, encoder)
    tracker.set_head(mapper.export_head(), 1)
    first = tracker.process(frames[0])
    tracker._anchor.start(0)
    before = [k.T_map_cam.copy() for k in tracker._local._keyframes.values()]
    far = exp_se3(np.array([3.0, 0, 0, 0, 0, 0])) @ first.T_map_cam
    refined = RefinedPose(first.T_map_cam, np.eye(6), 100, 100)
    sure = PoseEstimate(far, np.eye(6), np.ones(10, bool), 0.9, 0.8)
    tracker._anchor.pull(sure, refined)
    after = [k.T_map_cam for k in tracker._local._keyframes.values()]
    assert before and all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
