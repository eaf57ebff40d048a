"""The mapper with rendered keyframes: drift corrected, kept, saved, followed; rest; bounds."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.tracking import process
from helpers.worlds import world_shots

from ace_slam_ros.core.config.sections import (
    FeatureConfig,
    SensorConfig,
    SlamConfig,
)
from ace_slam_ros.core.data.floor_scan import FloorScan
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error, transform_points
from ace_slam_ros.core.heads.factory import load_head
from ace_slam_ros.core.heads.payload import read_info, unpack_arrays, unpack_head
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.maps.map_folder import load_map
from ace_slam_ros.core.navigation.floor import floor_of_mount
from ace_slam_ros.core.tracking.tracker import Tracker

pytestmark = pytest.mark.render
CONFIG = SlamConfig().with_overrides(["encoder.threads=1", "device=cpu"])
#: There and back again, seen from frames that differ a little.
FRAMES = [0, 10, 20, 30, 40, 50, 41, 31, 21, 11, 1]
#: Drift of a heading, as wheels and eyes have it.
DRIFT = np.array([0.004, -0.003, 0.001, 0.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def rendered():
    numbers = sorted(FRAMES)
    return dict(zip(numbers, world_shots("room", 2, numbers), strict=True))


@pytest.fixture(scope="module")
def walk(encoder, rendered):
    """Keyframes of the walk at true poses, ids two apart."""
    made = []
    for k, number in enumerate(FRAMES):
        item = rendered[number]
        features = extract_features(encoder, item.frame, FeatureConfig(), SensorConfig())
        made.append(Keyframe.from_features(
            2 * k, item.frame.stamp_ns + k, item.T_world_cam_44, features, item.frame.camera))
    return made


def drifted(walk, drift=DRIFT):
    """The same as a drifting tracker reports them: relative poses are what it measured."""
    made, before = [], None
    for k, frame in enumerate(walk):
        T = exp_se3(k * drift) @ frame.T_map_cam
        reference = None if before is None else (before.id, invert_pose(before.T_map_cam) @ T)
        before = replace(frame, T_map_cam=T, reference=reference)
        made.append(before)
    return made


def worst_m(poses, walk):
    """Largest error of keyframe positions; the first keyframe is right by definition."""
    return max(pose_error(poses[k.id], k.T_map_cam)[0] for k in walk)


def present(mapper):
    """Present T_map_cam of the keyframes, all in the map itself."""
    assert {pose.submap for pose in mapper.keyframe_poses.values()} == {0}
    return {i: pose.T_map_cam for i, pose in mapper.keyframe_poses.items()}


def learned(encoder, keyframes, config=CONFIG):
    mapper = Mapper(config, encoder, map_id="m")
    for k in keyframes:
        assert mapper.add_keyframe(k, "m")
        mapper.work(float("inf"))
    return mapper


@pytest.fixture(scope="module")
def corrected(encoder, walk):
    return learned(encoder, drifted(walk))


def test_drift_is_taken_away_where_the_walk_returns(encoder, walk, corrected):
    frames = drifted(walk)
    before = worst_m({k.id: k.T_map_cam for k in frames}, walk)
    after = worst_m(present(corrected), walk)
    assert before > 0.05 and after < 0.75 * before
    assert read_info(corrected.export_head()).map_revision >= 1
    again = learned(encoder, frames)
    assert all(np.array_equal(T, present(again)[i])
               for i, T in present(corrected).items())
    off = learned(encoder, frames, CONFIG.with_values({"mapper.pose_graph": False}))
    assert worst_m(present(off), walk) == pytest.approx(before)
    assert not off.wants_work


def test_the_corrected_head_equals_one_made_from_corrected_poses(encoder, walk, corrected):
    poses = present(corrected)
    config = CONFIG.with_values({"mapper.pose_graph": False})
    rebuilt = learned(encoder, [replace(k, T_map_cam=poses[k.id]) for k in walk], config)
    descriptors = walk[3].descriptors_ND
    a, b = (load_head(m.export_head(), encoder, CONFIG).head.predict(descriptors)
            for m in (corrected, rebuilt))
    true = walk[3].points_cam_N3 @ poses[6][:3, :3].T + poses[6][:3, 3]

    def miss(p):
        error = np.linalg.norm(p.coords_map_NS3 - true[:, None], axis=2)
        return np.where(np.isfinite(p.sigma_m_NS), error, np.inf).min(axis=1)

    # which expert takes a sample was decided at the poses of then: most agree, all are as good
    assert np.median(np.abs(miss(a) - miss(b))) < 2e-3
    assert np.median(miss(a)) < np.median(miss(b)) + 1e-3
    again = {i: exp_se3(np.zeros(6)) @ T for i, T in poses.items()}
    tensors = unpack_arrays(corrected.export_head())
    corrected.move_keyframes(again)
    for name, tensor in unpack_arrays(corrected.export_head()).items():
        assert np.allclose(tensor, tensors[name], atol=1e-4), name


def test_idle_work_ends(encoder, walk):
    mapper = Mapper(CONFIG, encoder, map_id="m")
    for k in drifted(walk):
        mapper.add_keyframe(k, "m")
    calls = 0
    while mapper.wants_work:
        mapper.work(0.001)  # a step at least is done, however short the time
        calls += 1
        assert calls < 500
    poses = present(mapper)
    assert not mapper.work(10.0) and mapper.backlog == 0
    assert all(np.array_equal(T, poses[i]) for i, T in present(mapper).items())
    assert worst_m(present(mapper), walk) < 0.05


def test_a_saved_map_keeps_corrections_and_edges(encoder, walk, corrected, tmp_path):
    corrected.save(tmp_path / "map")
    stored = load_map(tmp_path / "map")
    assert len(stored.edges) == len(corrected._refinement.graph) >= len(walk)
    assert not unpack_head(stored.head).keyframe_poses
    assert unpack_head(corrected.export_head()).keyframe_poses
    again = Mapper(CONFIG, encoder)
    again.load(tmp_path / "map")
    for i, T in present(corrected).items():
        assert np.allclose(present(again)[i], T)
    revisions = {read_info(m.export_head()).map_revision for m in (corrected, again)}
    assert len(revisions) == 1 and 0 not in revisions
    again.save(tmp_path / "again")
    assert not again.wants_work
    for kept, edge in zip(load_map(tmp_path / "again").edges, stored.edges, strict=True):
        assert (kept.a, kept.b, kept.kind) == (edge.a, edge.b, edge.kind)
        assert np.allclose(kept.T_a_b, edge.T_a_b)


def test_a_pruned_keyframe_loses_features_in_buffer_and_head(encoder, walk, tmp_path):
    """As if a third of each keyframe had been somebody who walked away."""
    whole, clean = Mapper(CONFIG, encoder, map_id="m"), Mapper(CONFIG, encoder, map_id="m")
    small = [k.pick(np.arange(len(k.pixels_N2)) % 3 > 0) for k in walk[:3]]
    for frame, kept in zip(walk[:3], small, strict=True):
        assert whole.add_keyframe(frame, "m") and clean.add_keyframe(kept, "m")
    assert whole.add_keyframe(small[0], "m") and whole.backlog == 3  # while it still waits
    for mapper in (whole, clean):
        mapper.work(float("inf"))
    for kept in small[1:]:
        assert whole.add_keyframe(kept, "m")
        assert whole.work(float("inf"))
    again = small[1].pick(np.arange(len(small[1].pixels_N2)) > 9)
    assert not whole.add_keyframe(small[1], "m") and not whole.add_keyframe(walk[1], "m")
    assert not whole.add_keyframe(replace(again, stamp_ns=7), "m")  # another frame, the same id
    assert whole.keyframe_count == 3
    whole.save(tmp_path / "map")
    assert [len(k.pixels_N2) for k in load_map(tmp_path / "map").keyframes] == [
        len(k.pixels_N2) for k in small]
    heads = {m: load_head(m.export_head(), encoder, CONFIG).head for m in (whole, clean)}
    assert abs(heads[whole].expert_count / heads[clean].expert_count - 1) < 0.02
    lost = walk[1].descriptors_ND[::3]
    truth = transform_points(walk[1].T_map_cam, walk[1].points_cam_N3[::3].astype(float))

    def found(mapper):
        p = heads[mapper].predict(lost)
        error = np.linalg.norm(p.coords_map_NS3 - truth[:, None], axis=2)
        return float(((error < 0.02) & np.isfinite(p.sigma_m_NS)).any(axis=1).mean())

    assert abs(found(whole) - found(clean)) < 0.03


def test_memory_is_bounded_and_edges_with_it(encoder, walk, tmp_path):
    mapper = learned(
        encoder, drifted(walk), CONFIG.with_values({"keyframe.max_count": 10}))
    assert mapper.keyframe_count == 10
    kept = set(mapper.keyframe_poses)
    mapper.save(tmp_path / "map")
    edges = load_map(tmp_path / "map").edges
    assert all({e.a, e.b} <= kept for e in edges)
    assert len(edges) <= 6 * 10


# The tracker follows ----------------------------------------------------------------------------


def test_the_tracker_follows_a_correction_without_a_jump(encoder, rendered):
    """Pose and keyframes move together, so that the motion of the camera goes on smoothly."""
    frames = [rendered[n].frame for n in (0, 1, 10, 11)]
    tracker, mapper = Tracker(CONFIG, encoder, map_id="m"), Mapper(CONFIG, encoder, map_id="m")
    first = process(tracker, frames[0])
    mapper.add_keyframe(first.keyframes[0], "m")
    mapper.work(float("inf"))
    tracker.set_head(mapper.export_head(), 1)
    before = process(tracker, frames[1])
    motion = exp_se3(np.array([0.3, -0.2, 0.1, 0.02, 0.03, 0.1]))
    mapper.move_keyframes({i: motion @ T for i, T in present(mapper).items()})
    tracker.set_head(mapper.export_head(), 2)
    assert tracker.map_revision == 1
    after = process(tracker, replace(frames[1], stamp_ns=frames[1].stamp_ns + 1_000_000))
    gap_m, gap_rad = pose_error(motion @ before.T_map_cam, after.T_map_cam)
    assert gap_m < 0.01 and gap_rad < 0.01
    tracker.set_head(mapper.export_head(), 3)  # the same correction once more moves nothing
    same = process(tracker, replace(frames[1], stamp_ns=frames[1].stamp_ns + 2_000_000))
    assert pose_error(same.T_map_cam, after.T_map_cam)[0] < 0.005


def test_scans_make_the_grid_and_lose_what_moved(encoder, walk, tmp_path):
    """An older map has no scans, and gets them as it is driven again."""
    learned(encoder, walk[:2]).save(tmp_path / "map")
    assert not list((tmp_path / "map").glob("grid.*"))
    mapper = Mapper(CONFIG, encoder)
    mapper.load(tmp_path / "map")
    assert mapper.updated_grid().picture() is None
    ranges = np.full(100, 2000, np.int16)
    for k in walk[2:4]:
        floor_4 = floor_of_mount(k.T_map_cam)
        mapper.add_keyframe(replace(k, scan=FloorScan(floor_4, -0.5, 0.01, ranges)), "m")
    mapper.work(float("inf"))
    mapper.save(tmp_path / "map")
    assert (tmp_path / "map" / "grid.pgm").read_bytes().startswith(b"P5")
    assert "image: grid.pgm" in (tmp_path / "map" / "grid.yaml").read_text()
    before, head = mapper.updated_grid().revision, mapper.export_head()
    ranges = ranges.copy()
    ranges[40:60] = 0
    assert mapper.add_keyframe(replace(
        walk[3], scan=FloorScan(floor_4, -0.5, 0.01, ranges)), "m")
    mapper.work(0.5)
    assert unpack_arrays(mapper.export_head()).keys() == unpack_arrays(head).keys()
    assert mapper.updated_grid().revision != before
    again = Mapper(CONFIG, encoder)
    mapper.save(tmp_path / "map")
    again.load(tmp_path / "map")
    assert np.array_equal(again.updated_grid().picture().cells_HW,
                          mapper.updated_grid().picture().cells_HW)
