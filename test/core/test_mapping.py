"""Keyframe buffer, window, alignment, loops and the pose graph, each against what is known."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.config.sections import (
    EncoderConfig,
    FeatureConfig,
    MapperConfig,
    SensorConfig,
    SlamConfig,
    SolverConfig,
)
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.edge import Edge, EdgeKind, adjoint_66, odometry_edge
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, log_se3, pose_error
from ace_slam_ros.core.mapping.graph_refinement import PoseRefinement
from ace_slam_ros.core.mapping.keyframe_alignment import align, align_both_ways
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer
from ace_slam_ros.core.mapping.keyframe_sampling import Window, explained_share
from ace_slam_ros.core.mapping.keyframe_surface import ViewCache, make_view
from ace_slam_ros.core.mapping.loop_closure import LoopFinder, within_drift
from ace_slam_ros.core.mapping.pose_graph import PoseGraph
from ace_slam_ros.synth.worlds import make_world

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR, SOLVER = SensorConfig(), SolverConfig()


def keyframe(identifier, T_map_cam, points_cam, reference=None):
    count = len(points_cam)
    return Keyframe(identifier, identifier, T_map_cam, np.ones((count, 4), np.int8),
                    np.zeros((count, 2), np.float32), np.asarray(points_cam, np.float32), CAMERA,
                    reference)


def wall(rng, count=60):
    """Points of a wall two meters ahead."""
    return np.column_stack([rng.uniform(-1, 1, (count, 2)), np.full(count, 2.0)])


# The buffer -------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(8, 12), st.integers(2, 20))
def test_culling_loses_no_cell_while_a_keyframe_is_redundant(seed, capacity, places):
    rng = np.random.default_rng(seed)
    buffer = KeyframeBuffer(capacity, newest=5)
    centers = rng.uniform(-20, 20, (places, 3))
    views = [wall(rng) for _ in range(places)]
    for k in range(2 * capacity):
        place = int(rng.integers(places))
        before = buffer.coverage()
        old = buffer.ids[: len(buffer) + 1 - 5]
        sole = [alone(buffer, i) for i in old]
        victim = buffer.add(keyframe(k, np.eye(4), views[place] + centers[place]), np.eye(4))
        after = buffer.coverage()
        assert len(buffer) <= capacity and buffer.ids[-5:] == list(range(max(0, k - 4), k + 1))
        if victim is not None:
            lost = len(np.setdiff1d(before, after))
            assert victim in old and lost <= min(sole)
        else:
            assert len(np.setdiff1d(before, after)) == 0


def alone(buffer, identifier):
    """How many cells only one keyframe of the buffer covers."""
    others = KeyframeBuffer(1000)
    for k in buffer.keyframes:
        if k.id != identifier:
            others.add(k, buffer.pose(k.id))
    return len(np.setdiff1d(buffer.coverage(), others.coverage()))


def test_moved_keyframes_cover_other_cells():
    rng = np.random.default_rng(0)
    buffer = KeyframeBuffer(3)
    buffer.add(keyframe(7, np.eye(4), wall(rng)), np.eye(4))
    before = buffer.coverage()
    buffer.move({7: exp_se3(np.array([5.0, 0, 0, 0, 0, 0]))})
    assert len(np.intersect1d(before, buffer.coverage())) == 0 and len(before) > 5
    assert np.allclose(buffer.pose(7)[:3, 3], (5, 0, 0)) and 7 in buffer and len(buffer) == 1


# The window -------------------------------------------------------------------------------------


def test_windows_hold_the_newest_and_others_by_error():
    config = MapperConfig(window_newest=3, window_sampled=1, window_error_weight=0.5)
    window = Window(config, seed=0)
    identifiers = list(range(10, 23))
    others = identifiers[:-3]
    for i in others:
        window.note(i, 0.0 if i == 12 else 0.9)
    expected = np.array([0.1 + 0.5 * (1.0 if i == 12 else 0.1) for i in others])
    assert np.allclose(window.probabilities(others), expected / expected.sum())
    drawn = [window.draw(identifiers) for _ in range(3000)]
    assert all(d[:3] == [22, 21, 20] and len(d) == 4 and d[3] in others for d in drawn)
    share = np.array([sum(d[3] == i for d in drawn) for i in others]) / len(drawn)
    assert np.abs(share - expected / expected.sum()).max() < 0.03
    assert window.draw([5]) == [5] and window.draw([4, 5]) == [5, 4]
    window.forget(12)
    assert Window(config, 1).draw(identifiers) == Window(config, 1).draw(identifiers)


def test_the_explained_share_counts_hypotheses_that_agree():
    rng = np.random.default_rng(0)
    frame = keyframe(0, np.eye(4), wall(rng, 40))
    T = exp_se3(np.array([0.3, -0.2, 0.1, 0.1, 0.2, 0.3]))
    coords = np.full((40, 2, 3), 9.0, np.float32)
    coords[:10, 1] = frame.points_cam_N3[:10] @ T[:3, :3].T + T[:3, 3]
    sigma = np.full((40, 2), 0.05, np.float32)
    sigma[:4] = np.inf
    assert explained_share(frame, T, Predictions(coords, sigma), SOLVER) == pytest.approx(6 / 40)


# Alignment and loops on a rendered corridor whose doors repeat ----------------------------------


@pytest.fixture(scope="module")
def corridor():
    """Keyframes of a corridor, eight frames (a quarter of a meter) apart, at their true poses."""
    encoder = load_encoder(EncoderConfig(threads=1), torch.device("cpu"))
    world = make_world("corridor", 1)
    made = []
    for k, item in enumerate(world.frames(110, step=9)):
        features = extract_features(encoder, item.frame, FeatureConfig(), SENSOR)
        made.append(Keyframe.from_features(
            k, item.frame.stamp_ns, item.T_world_cam_44, features, item.frame.camera))
    return made


def test_alignment_measures_what_lies_between(corridor):
    errors, squared = [], []
    for a, b in itertools.pairwise(corridor[:6]):
        T_true = invert_pose(a.T_map_cam) @ b.T_map_cam
        found = align_both_ways(make_view(a, SENSOR), make_view(b, SENSOR), SOLVER, SENSOR, 0)
        assert found is not None and found.surface_ratio > 0.7
        errors.append(pose_error(found.T_a_b, T_true))
        gap = log_se3(found.T_a_b @ invert_pose(T_true))
        squared.append(gap @ np.linalg.solve(found.covariance_66, gap) / 6)
    meters, radians = np.array(errors).T
    assert np.median(meters) < 0.015 and meters.max() < 0.04
    assert np.degrees(np.median(radians)) < 0.4
    assert np.median(squared) < 4.0
    views = [make_view(k, SENSOR) for k in corridor[:2]]
    again, same = (align(*views, SOLVER, SENSOR, 0) for _ in range(2))
    assert np.array_equal(again.T_a_b, same.T_a_b)


def test_places_that_look_alike_are_no_loop(corridor):
    """Equal images a door apart align perfectly: only the way between them tells."""
    views = ViewCache(SENSOR)
    for far_m, accepted in ((0.03, True), (2.2, False)):
        T_b = exp_se3(np.array([far_m, 0, 0, 0, 0, 0])) @ corridor[0].T_map_cam
        buffer = KeyframeBuffer(10)
        buffer.add(corridor[0], corridor[0].T_map_cam)
        twin = Keyframe(50, 50, T_b, *(getattr(corridor[0], name) for name in (
            "descriptors_i8_ND", "pixels_N2", "points_cam_N3", "camera")))
        buffer.add(twin, T_b)
        finder = LoopFinder(buffer, views, SOLVER, 0)
        finder.add(0, 0.0)
        finder.add(50, 2.2)
        edge = finder.verify(0, 50)
        assert (edge is not None) is accepted
        if edge is not None:
            assert edge.kind is EdgeKind.LOOP and pose_error(edge.T_a_b, np.eye(4))[0] < 0.005
    assert within_drift(exp_se3(np.full(6, 0.02)), np.eye(4), 0.0)
    assert not within_drift(exp_se3(np.array([0.3, 0, 0, 0, 0, 0])), np.eye(4), 5.0)
    assert within_drift(exp_se3(np.array([0.3, 0, 0, 0, 0, 0])), np.eye(4), 30.0)


def test_no_wrong_loop_between_doors(corridor):
    """Whatever the finder proves among keyframes up to three meters apart is true."""
    buffer = KeyframeBuffer(50)
    for k in corridor:
        buffer.add(k, k.T_map_cam)
    finder = LoopFinder(buffer, ViewCache(SENSOR), SOLVER, 0)
    for k in corridor:
        finder.add(k.id, 0.25)
    aligned = proved = 0
    for a, b in ((0, 7), (0, 9), (1, 9), (2, 10), (3, 11), (0, 11)):
        va, vb = (make_view(corridor[i], SENSOR) for i in (a, b))
        aligned += align(va, vb, SOLVER, SENSOR, 0) is not None
        edge = finder.verify(a, b)
        if edge is not None:
            proved += 1
            T_true = invert_pose(corridor[a].T_map_cam) @ corridor[b].T_map_cam
            assert pose_error(edge.T_a_b, T_true)[0] < 0.1
    assert proved <= aligned


# The graph --------------------------------------------------------------------------------------


def test_edges_reverse_and_chain():
    rng = np.random.default_rng(3)
    A, B = (exp_se3(rng.normal(size=6) * 0.4) for _ in range(2))
    S = np.diag(rng.uniform(1e-4, 1e-3, 6))
    e, f = Edge(0, 1, A, S, EdgeKind.LOOP), Edge(1, 2, B, 2 * S, EdgeKind.ODOMETRY)
    assert np.allclose(e.reversed().reversed().covariance_66, S)
    assert np.allclose(e.then(f).T_a_b, A @ B) and e.then(f).kind is EdgeKind.LOOP
    xi = rng.normal(size=6) * 1e-4
    assert np.allclose(A @ exp_se3(xi) @ invert_pose(A), exp_se3(adjoint_66(A) @ xi), atol=1e-9)
    T_a, T_b = np.eye(4), exp_se3(xi) @ A
    assert e.squared_error(T_a, T_b) == pytest.approx(xi @ np.linalg.solve(S, xi), rel=1e-6)
    back = e.reversed().squared_error(T_b, T_a)
    assert back == pytest.approx(e.squared_error(T_a, T_b), rel=1e-6)


def ring(rng, count=60, radius_m=4.0, bias_rad=0.001):
    """True poses of a loop, and what a tracker with noise and a heading drift makes of them."""
    true, drifted, odometry = {}, {0: None}, []
    for k in range(count):
        angle = 2 * np.pi * k / count
        T = exp_se3(np.array([0, 0, 0, 0, 0, angle]))
        T[:3, 3] = radius_m * np.cos(angle), radius_m * np.sin(angle), 0
        true[k] = T
    drifted[0] = true[0]
    for k in range(1, count):
        noise = rng.normal(size=6) * np.repeat([0.002, 0.0005], 3)
        noise[5] += bias_rad
        step = invert_pose(true[k - 1]) @ true[k] @ exp_se3(noise)
        odometry.append(odometry_edge(k - 1, k, step))
        drifted[k] = drifted[k - 1] @ step
    return true, drifted, odometry


def loop(rng, true, a, b, wrong=None):
    T = invert_pose(true[a]) @ true[b] if wrong is None else wrong
    sigma = np.repeat([0.005, 0.002], 3)
    return Edge(a, b, exp_se3(rng.normal(size=6) * sigma) @ T, np.diag(sigma**2), EdgeKind.LOOP)


def worst_m(poses, true):
    return max(pose_error(poses[k], true[k])[0] for k in true)


def test_a_drifted_loop_is_closed_and_wrong_edges_are_rejected():
    rng = np.random.default_rng(0)
    true, drifted, odometry = ring(rng)
    graph = PoseGraph()
    for edge in odometry:
        graph.add(edge)
    alone_ = graph.optimize(drifted)
    assert worst_m(alone_.poses, drifted) < 1e-6 and alone_.rejected == 0
    for k in range(6):
        graph.add(loop(rng, true, k, 54 + k))
    wrong = [(5, 40, np.eye(4)), (12, 45, exp_se3(np.array([1.0, 0, 0, 0, 0, 0.3])))]
    for a, b, T in wrong:
        graph.add(loop(rng, true, a, b, T))
    found = graph.optimize(drifted)
    assert worst_m(drifted, true) > 0.2 and worst_m(found.poses, true) < 0.05
    assert found.rejected == 2 and found.error_after < 0.5 * found.error_before
    assert np.allclose(found.poses[0], drifted[0])
    again = graph.optimize(drifted)
    assert all(np.array_equal(found.poses[k], again.poses[k]) for k in true)


def test_a_single_wrong_loop_changes_nothing():
    rng = np.random.default_rng(1)
    true, drifted, odometry = ring(rng, bias_rad=0.0)
    graph = PoseGraph()
    for edge in odometry:
        graph.add(edge)
    graph.add(loop(rng, true, 3, 33, np.eye(4)))
    found = graph.optimize(drifted)
    assert found.rejected == 1 and worst_m(found.poses, drifted) < 1e-3


def test_a_removed_keyframe_leaves_the_others_joined():
    rng = np.random.default_rng(2)
    true, _, odometry = ring(rng, count=12)
    graph = PoseGraph()
    for edge in odometry:
        graph.add(edge)
    graph.add(loop(rng, true, 1, 11))
    size = len(graph)
    for gone in (4, 5, 1, 7):
        graph.remove(gone)
        assert len(graph) < size
        size = len(graph)
    left = sorted(set(true) - {4, 5, 1, 7})
    reached, frontier = {left[0]}, [left[0]]
    while frontier:
        for edge in graph.at(frontier.pop()):
            if edge.b not in reached:
                reached.add(edge.b)
                frontier.append(edge.b)
            assert edge.squared_error(true[edge.a], true[edge.b]) < 60
    assert reached == set(left)


# All together -----------------------------------------------------------------------------------


class _TrueLoops:
    """Stands in for image alignment: what it proves is true."""

    def __init__(self, true, rng):
        self.true, self.rng = true, rng

    def __call__(self, a, b):
        return loop(self.rng, self.true, a, b)


def drifting(monkeypatch, drift):
    """A refinement that was fed a drifted ring twice round, and the truth."""
    rng = np.random.default_rng(4)
    true, drifted, odometry = ring(rng, count=40, radius_m=1.0, bias_rad=drift)
    steps = {e.b: e.T_a_b for e in odometry}
    buffer = KeyframeBuffer(400)
    refinement = PoseRefinement(SlamConfig(), buffer)
    monkeypatch.setattr(refinement._finder, "verify", _TrueLoops(true, rng))
    for k in sorted(true):
        frame = keyframe(k, drifted[k], wall(rng), None if k == 0 else (k - 1, steps[k]))
        buffer.add(frame, refinement.place(frame))
        refinement.add(frame)
    return refinement, buffer, true


def settle(refinement, buffer):
    steps = corrections = 0
    while refinement.wants_work:
        refinement.step()
        poses = refinement.correction()
        if poses is not None:
            buffer.move(poses)
            corrections += 1
        steps += 1
        assert steps < 1000
    return steps, corrections


def test_refinement_closes_the_loop_and_comes_to_rest(monkeypatch):
    refinement, buffer, true = drifting(monkeypatch, 0.001)
    before = worst_m(buffer.poses, true)
    steps, corrections = settle(refinement, buffer)
    assert corrections >= 1 and worst_m(buffer.poses, true) < 0.5 * before
    assert steps <= 6 * len(true) and not refinement.wants_work
    assert refinement.correction() is None


def test_a_keyframe_follows_its_moved_reference():
    rng = np.random.default_rng(0)
    buffer = KeyframeBuffer(10)
    refinement = PoseRefinement(SlamConfig(), buffer)
    first = keyframe(0, np.eye(4), wall(rng))
    buffer.add(first, refinement.place(first))
    refinement.add(first)
    moved = exp_se3(np.array([0.1, 0, 0, 0, 0, 0.1]))
    buffer.move({0: moved})
    step = exp_se3(np.array([0.2, 0, 0, 0, 0, 0]))
    second = keyframe(1, step, wall(rng), (0, step))
    assert np.allclose(refinement.place(second), moved @ step)
    followed = keyframe(1, moved @ step, wall(rng), (0, step))
    assert np.allclose(refinement.place(followed), moved @ step)
    assert np.allclose(refinement.place(keyframe(2, step, wall(rng))), step)


def test_without_the_graph_nothing_is_done(monkeypatch):
    rng = np.random.default_rng(0)
    config = SlamConfig().with_values({"mapper.pose_graph": False})
    buffer = KeyframeBuffer(10)
    refinement = PoseRefinement(config, buffer)
    for k in range(12):
        frame = keyframe(k, np.eye(4), wall(rng))
        victim = buffer.add(frame, np.eye(4))
        if victim is not None:
            refinement.forget(victim)
        refinement.add(frame)
    assert not refinement.wants_work and len(refinement.graph) == 0
