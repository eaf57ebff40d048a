"""Submaps are joined where their place is proven, and only there."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import scene_heads as scene
from helpers.rooms import keyframes_by_submap
from helpers.worlds import world_shots

from ace_slam_ros.core.config.sections import (
    FeatureConfig,
    SensorConfig,
    SlamConfig,
)
from ace_slam_ros.core.data.edge import Edge, EdgeKind, odometry_edge
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.data.submaps import (
    SubmapMotion,
    only_submap,
)
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error, transform_points
from ace_slam_ros.core.heads.factory import make_learner
from ace_slam_ros.core.mapping.graph_refinement import GraphRefinement
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.mapping.pose_graph import PoseGraph, graph_available

CONFIG = SlamConfig().with_overrides(
    ["encoder.threads=1", "device=cpu", "tracker.submap_after_s=0.3"])


@pytest.mark.render
def test_places_that_look_alike_are_not_joined(encoder):
    """Equal doors: the view back along the corridor is taken for the one ahead, until the camera
    is where it was before.
    """
    start, away, back = (0, 15, 30, 45), (500, 510, 520), (35, 25, 12)
    numbers = (*start, *away, *back)
    world = dict(zip(numbers, world_shots("corridor", 2, numbers), strict=True))
    mapper = Mapper(CONFIG, encoder, map_id="m")
    elsewhere = exp_se3(np.array([1.0, 2.0, 0.3, 0.0, 0.0, 0.7]))
    true = {}

    def show(numbers, T_map_world, submap=0):
        before = None
        for number in numbers:
            item = world[number]
            features = extract_features(encoder, item.frame, FeatureConfig(), SensorConfig())
            T = T_map_world @ item.T_world_cam_44
            reference = None if before is None else (before[0], invert_pose(before[1]) @ T)
            before = (len(true), T)
            mapper.add_keyframe(Keyframe.from_features(
                len(true), item.frame.stamp_ns + len(true), T, features, item.frame.camera,
                reference, submap), "m")  # the tracker has followed no correction
            true[len(true)] = item.T_world_cam_44
            mapper.work(float("inf"))

    show(start, np.eye(4))
    show(away, elsewhere, 1)
    assert set(keyframes_by_submap(mapper)) == {0, 1}
    show(back, elsewhere, 1)
    assert set(keyframes_by_submap(mapper)) == {0}
    assert max(pose_error(pose.T_map_cam, true[i])[0]
               for i, pose in mapper.keyframe_poses.items()) < 0.05


def test_a_keyframe_that_fits_two_places_is_no_witness():
    refinement = GraphRefinement(CONFIG, KeyframeBuffer(10))
    points = scene.some_points(np.random.default_rng(0))
    seen = scene.keyframe(0, points)
    once = np.repeat(points[:, None], 2, axis=1)
    twice = once + np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    sigma = np.full((len(points), 2), 0.02, np.float32)
    locate = refinement.joiner._locate
    found = locate(seen, Predictions(once.astype(np.float32), sigma))
    assert found is not None and pose_error(found.T_map_cam, np.eye(4))[0] < 0.01
    assert locate(seen, Predictions(twice.astype(np.float32), sigma)) is None


def test_experts_move_with_their_submap_forgotten_keyframes_too():
    """Both submaps lie at the same coordinates until they are joined."""
    learner = make_learner(CONFIG, scene.encoder())
    rng = np.random.default_rng(0)
    here, there = scene.some_points(rng), scene.some_points(rng)
    for k, (points, submap) in enumerate(((here, 0), (there, 1), (there, 1))):
        learner.observe(scene.keyframe(k, points), np.eye(4), submap)
    learner.forget(1)
    assert set(learner.export()["submap"].tolist()) == {0, 1}
    motion = exp_se3(np.array([1.0, -0.5, 0.2, 0.1, 0.4, -0.2]))
    before = learner.predict(scene.describe(there))
    learner.move_submap(1, SubmapMotion(motion, 0), {2: motion})
    after = learner.predict(scene.describe(there))
    own = before.submap_NS.reshape(-1) == 1
    moved = transform_points(motion, before.coords_map_NS3.reshape(-1, 3).astype(np.float64))
    expected = np.where(own[:, None], moved, before.coords_map_NS3.reshape(-1, 3))
    assert own.any() and not own.all() and after.submap_NS is None
    held = np.isfinite(after.sigma_m_NS)
    assert np.abs(after.coords_map_NS3.reshape(-1, 3) - expected)[held.reshape(-1)].max() < 2e-3
    assert np.array_equal(after.sigma_m_NS, before.sigma_m_NS)
    assert "submap" not in learner.export()
    learner.retarget({2: motion})  # sums made anew say the same
    again = learner.predict(scene.describe(there))
    assert np.abs(again.coords_map_NS3 - after.coords_map_NS3).max() < 5e-3
    assert np.abs(again.sigma_m_NS[held] - after.sigma_m_NS[held]).max() < 2e-3


def test_a_submap_is_learned_by_experts_of_its_own():
    """What two submaps show at the same coordinates with the same look is no one place."""
    learner = make_learner(CONFIG, scene.encoder())
    points = scene.some_points(np.random.default_rng(0))
    learner.observe(scene.keyframe(0, points), np.eye(4))
    alone = learner.expert_count
    learner.observe(scene.keyframe(1, points), np.eye(4), 1)
    assert learner.expert_count == 2 * alone
    for number in (0, 1):
        own = only_submap(learner.predict(scene.describe(points)), number)
        assert np.isfinite(own.sigma_m_NS).any(axis=1).mean() > 0.9


@pytest.mark.skipif(not graph_available(), reason="gtsam is not installed")
def test_submaps_stay_apart_in_the_graph():
    """Without an edge between them, each keeps its place, and loops close within each."""
    step = exp_se3(np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0]))
    poses, graph = {}, PoseGraph()
    for k in range(12):
        before = poses.get(k - 1)
        poses[k] = np.eye(4) if k in (0, 6) else before @ step
        if k not in (0, 6):
            graph.add(odometry_edge(k - 1, k, step))
    off = exp_se3(np.array([0.48, 0.0, 0.0, 0.0, 0.0, 0.0]))
    graph.add(Edge(0, 5, off, np.diag(np.full(6, 1e-4)), EdgeKind.LOOP))
    found = graph.optimize(
        {k: SubmapPose(T, submap=int(k >= 6)) for k, T in poses.items()}).poses
    assert pose_error(found[5], poses[5])[0] > 0.003
    assert all(pose_error(found[k], poses[k])[0] < 1e-6 for k in (0, *range(6, 12)))


def test_a_keyframe_sent_before_the_join_was_known_finds_its_place():
    buffer = KeyframeBuffer(10)
    refinement = GraphRefinement(CONFIG, buffer)
    points = scene.some_points(np.random.default_rng(0))
    step = exp_se3(np.array([0.2, 0, 0, 0, 0.1, 0]))
    first = replace(scene.keyframe(0, points), submap=1)
    buffer.add(first, refinement.place(first))
    refinement.add(first)
    home = exp_se3(np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.5]))
    buffer.correct({0: SubmapPose(home)})
    nudged = exp_se3(np.array([0.01, 0, 0, 0, 0, 0])) @ home  # and corrected once more since
    buffer.correct({0: SubmapPose(nudged)})
    for reference in ((0, step), None):  # without one, as its neighbor moved
        late = replace(scene.keyframe(1, points), T_map_cam=step, reference=reference, submap=1)
        placed = refinement.place(late)
        assert placed.submap == 0 and np.allclose(placed.T_map_cam, nudged @ step)
    late = replace(scene.keyframe(1, points), T_map_cam=home @ step, map_revision=1)
    assert np.allclose(refinement.place(late).T_map_cam, nudged @ step), "it knew of the first"
