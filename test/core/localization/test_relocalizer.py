"""A saved map is continued and localized in: from any roll, not where two places look alike."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.rooms import CONFIG, LOCALIZATION, black
from helpers.tracking import new_keyframe, process

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.geometry.se3 import make_pose, pose_error
from ace_slam_ros.core.heads.factory import load_head
from ace_slam_ros.core.localization import relocalizer as module
from ace_slam_ros.core.localization.relocalizer import (
    PoseHint,
    RelocalizationReason,
    Relocalizer,
)
from ace_slam_ros.core.localization.views.query_views import rolled
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking import tracker as tracker_module
from ace_slam_ros.core.tracking.result import TrackerState, TrackingHints
from ace_slam_ros.core.tracking.tracker import Tracker

pytestmark = pytest.mark.render


def test_a_map_is_continued_and_localized_in(mapped, encoder, room_frames, tmp_path):
    mapper, results = mapped
    mapper.save(tmp_path / "map")
    again = Mapper(CONFIG, encoder)
    again.load(tmp_path / "map")
    assert again.map_id == mapper.map_id and again.keyframe_count == mapper.keyframe_count
    relocalizer = Relocalizer(CONFIG, encoder)
    assert relocalizer.locate(room_frames[3]).reason is RelocalizationReason.NO_MAP
    relocalizer.set_head(again.export_head(), 8)
    answer = relocalizer.locate(room_frames[45])
    assert answer.success and answer.weights_version == 8
    assert pose_error(answer.T_map_cam, results[45].T_map_cam)[0] < 0.05
    assert relocalizer.locate(room_frames[45], 0.999).reason is RelocalizationReason.LOW_CONFIDENCE
    assert relocalizer.locate(black(room_frames[45])).reason is RelocalizationReason.NO_SOLUTION


def test_a_later_session_starts_elsewhere_and_goes_on_with_the_map(
    mapped, encoder, room_frames, tmp_path
):
    """The second session's first view is not the map's origin; all it adds is in the old frame."""
    _, results = mapped
    places = [i for i, result in enumerate(results) if new_keyframe(result) is not None]
    middle = len(places) // 2
    first = Mapper(CONFIG, encoder, map_id="shared")
    for i in places[:middle]:
        first.add_keyframe(new_keyframe(results[i]), "shared")
    first.work(float("inf"))
    first.save(tmp_path / "map")

    mapper, tracker = Mapper(CONFIG, encoder), Tracker(CONFIG, encoder)
    mapper.load(tmp_path / "map")
    before = mapper.keyframe_count
    tracker.set_head(mapper.export_head(), 1)
    added = []
    for i in range(places[middle - 1] + 1, places[middle] + 8):
        found = process(tracker, room_frames[i])
        assert found.state is TrackerState.TRACKING, i
        assert pose_error(found.T_map_cam, results[i].T_map_cam)[0] < 0.05
        if (keyframe := new_keyframe(found)) is not None:
            added.append(keyframe.id)
            mapper.add_keyframe(keyframe, tracker.map_id)
            mapper.work(float("inf"))
            tracker.set_head(mapper.export_head(), i)
    assert tracker.map_id == mapper.map_id == "shared"
    assert added and mapper.keyframe_count == before + len(added), "no id was taken twice"


def turned(frame, degrees):
    """What the same camera would see, rolled; nothing around the recorded image."""
    view = rolled(frame, np.radians(degrees))
    image = np.where(view.frame.mask > 0, view.frame.image, 0).astype(np.uint8)
    return Frame(frame.stamp_ns, image, view.frame.depth_m, view.frame.camera), view.T_cam_view


@pytest.mark.parametrize("degrees", [45, 105, 180, -75])
@pytest.mark.parametrize("depth", [True, False])
def test_a_rolled_camera_is_found(mapped, encoder, room_frames, degrees, depth):
    mapper, results = mapped
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(mapper.export_head(), 1)
    frame, T_cam_view = turned(room_frames[45], degrees)
    answer = relocalizer.locate(frame if depth else replace(frame, depth_m=None))
    assert answer.success and answer.views > 1, answer.message
    error_m, error_rad = pose_error(answer.T_map_cam, results[45].T_map_cam @ T_cam_view)
    assert error_m < 0.1 and np.degrees(error_rad) < 3.0


class TwoPlaces:
    """A head for which everything, or every n-th feature, is there twice, some meters apart."""

    head_type = "affine"

    def __init__(self, head, apart_m=5.0, every=1):
        self._head, self._apart_m, self._every = head, apart_m, every

    def predict(self, descriptors_ND):
        once = self._head.predict(descriptors_ND)
        again = once.coords_map_NS3 + np.float32([self._apart_m, 0.0, 0.0])
        sigma_again = once.sigma_m_NS.copy()
        sigma_again[np.arange(len(again)) % self._every > 0] = np.inf
        return Predictions(np.concatenate([once.coords_map_NS3, again], axis=1),
                           np.concatenate([once.sigma_m_NS, sigma_again], axis=1))


def test_a_place_with_a_twin_is_ambiguous_unless_a_prior_tells(
    mapped, encoder, room_frames, monkeypatch
):
    mapper, results = mapped
    loaded = load_head(mapper.export_head(), encoder, CONFIG)
    twice = replace(loaded, head=TwoPlaces(loaded.head))
    monkeypatch.setattr(module, "load_head", lambda *_: twice)
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(b"", 1)
    answer = relocalizer.locate(room_frames[45])
    assert answer.reason is RelocalizationReason.AMBIGUOUS and not answer.success
    assert "5.0 m and 0 deg away" in answer.message
    for shift_m in (0.0, 5.0):
        there = results[45].T_map_cam.copy()
        there[0, 3] += shift_m
        hint = PoseHint(make_pose(there[:3, :3], there[:3, 3] + 0.3), np.eye(6) * 0.25)
        answer = relocalizer.locate(room_frames[45], hint=hint)
        assert answer.success and pose_error(answer.T_map_cam, there)[0] < 0.05
    far = PoseHint(make_pose(np.eye(3), np.array([90.0, 0, 0])), np.eye(6) * 0.25)
    assert relocalizer.locate(
        room_frames[45], hint=far).reason is RelocalizationReason.AMBIGUOUS


@pytest.mark.parametrize(("apart_m", "every", "reason"), [
    (5.0, 2, RelocalizationReason.AMBIGUOUS),
    (0.4, 1, RelocalizationReason.OK),  # drift drew the place twice
    (0.4, 2, RelocalizationReason.AMBIGUOUS)])  # a wall that repeats
def test_a_rival_that_makes_a_pose_unlikely_is_named_unless_it_is_the_same_place(
    mapped, encoder, room_frames, monkeypatch, apart_m, every, reason
):
    mapper, _ = mapped
    loaded = load_head(mapper.export_head(), encoder, CONFIG)
    monkeypatch.setattr(module, "load_head", lambda *_: replace(
        loaded, head=TwoPlaces(loaded.head, apart_m, every)))
    relocalizer = Relocalizer(
        CONFIG.with_values({"relocalizer.min_probability": 0.99}), encoder)
    relocalizer.set_head(b"", 1)
    answer = relocalizer.locate(room_frames[45])
    assert answer.reason is reason, answer.message
    assert answer.success or "% as much, so this one is only" in answer.message


def test_another_place_is_seen_behind_one_that_drift_drew_twice(
    mapped, encoder, room_frames, monkeypatch
):
    mapper, _ = mapped
    loaded = load_head(mapper.export_head(), encoder, CONFIG)
    there_twice = TwoPlaces(TwoPlaces(loaded.head, 0.4), 5.0, every=2)
    monkeypatch.setattr(module, "load_head", lambda *_: replace(loaded, head=there_twice))
    relocalizer = Relocalizer(
        CONFIG.with_values({"relocalizer.min_probability": 0.99}), encoder)
    relocalizer.set_head(b"", 1)
    answer = relocalizer.locate(room_frames[45])
    assert answer.reason is RelocalizationReason.AMBIGUOUS, answer.message


class SomewhatElse:
    """A head of a room with like walls: four of ten things are there, some centimeters off."""

    def __init__(self, head, head_type="affine"):
        self._head, self.head_type = head, head_type

    def predict(self, descriptors_ND):
        found, rng = self._head.predict(descriptors_ND), np.random.default_rng(0)
        off = rng.normal(scale=0.025, size=(len(descriptors_ND), 1, 3)).astype(np.float32)
        sigma = found.sigma_m_NS.copy()
        sigma[rng.random(len(sigma)) > 0.4] = np.inf
        return Predictions(found.coords_map_NS3 + off, sigma)


def test_what_is_off_by_centimeters_only_looks_alike(mapped, encoder, room_frames, monkeypatch):
    mapper, results = mapped
    loaded = load_head(mapper.export_head(), encoder, CONFIG)
    monkeypatch.setattr(module, "load_head", lambda *_: replace(
        loaded, head=SomewhatElse(loaded.head)))
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(b"", 1)
    answer = relocalizer.locate(room_frames[45])
    assert answer.reason is RelocalizationReason.LOW_CONFIDENCE, answer.message
    assert "only looks alike" in answer.message and answer.inlier_ratio > 0.2
    there = PoseHint(results[45].T_map_cam, np.eye(6) * 0.01)
    assert relocalizer.locate(room_frames[45], hint=there).success
    monkeypatch.setattr(module, "load_head", lambda *_: replace(
        loaded, head=SomewhatElse(loaded.head, "trimlp")))
    relocalizer.set_head(b"", 2)
    assert relocalizer.locate(room_frames[45]).success, "of networks that tells nothing"


def test_a_lost_tracker_does_not_choose_between_twins_unless_a_prior_tells(
    mapped, encoder, room_frames, monkeypatch
):
    mapper, results = mapped
    loaded = load_head(mapper.export_head(), encoder, CONFIG)
    twice = replace(loaded, head=TwoPlaces(loaded.head))
    tracker = Tracker(LOCALIZATION, encoder)
    monkeypatch.setattr(tracker_module, "load_head", lambda *_: twice)
    tracker.set_head(b"", 1)
    lost = process(tracker, room_frames[45])
    assert lost.T_map_cam is None and lost.state is TrackerState.LOST
    assert "another place, 5.0 m away, looks alike" in lost.reason
    assert lost.T_map_cam_raw is not None and lost.support.probability < 0.9
    there = results[46].T_map_cam.copy()
    there[0, 3] += 5.0
    near = make_pose(there[:3, :3], there[:3, 3] + 0.3)
    found = process(tracker, room_frames[46], TrackingHints(T_map_cam_prior=near))
    assert found.state is TrackerState.TRACKING and found.reason == ""
    assert pose_error(found.T_map_cam, there)[0] < 0.05


def test_a_hint_far_away_does_not_refuse_a_place_without_a_twin(mapped, encoder, room_frames):
    mapper, _ = mapped
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(mapper.export_head(), 1)
    far = PoseHint(make_pose(np.eye(3), np.array([90.0, 0, 0])), np.eye(6) * 0.25)
    answer = relocalizer.locate(room_frames[45], hint=far)
    assert answer.success and answer.probability > 0.9 and answer.views == 1


def test_a_lost_tracker_finds_a_rolled_camera_within_half_a_second(
    mapped, encoder, room_frames
):
    mapper, results = mapped
    for degrees in (60, 180):
        tracker = Tracker(LOCALIZATION, encoder)
        tracker.set_head(mapper.export_head(), 1)
        frame, T_cam_view = turned(room_frames[45], degrees)
        for number in range(15):
            again = Frame(frame.stamp_ns + number * 33_000_000, frame.image, frame.depth_m,
                          frame.camera)
            found = process(tracker, again)
            if found.T_map_cam is not None:
                break
        assert found.state is TrackerState.TRACKING, degrees
        assert pose_error(found.T_map_cam, results[45].T_map_cam @ T_cam_view)[0] < 0.05
