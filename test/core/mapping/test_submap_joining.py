"""Segments are joined where their place is proven, and only there."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import scene_heads as scene
from helpers.rooms import keyframes_by_segment
from helpers.worlds import world_shots

from ace_slam_ros.core.config.sections import (
    FeatureConfig,
    SensorConfig,
    SlamConfig,
)
from ace_slam_ros.core.data.edge import Edge, EdgeKind, odometry_edge
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.data.submaps import (
    first_pose,
    segments_of,
)
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error, transform_points
from ace_slam_ros.core.heads.factory import make_learner
from ace_slam_ros.core.mapping.graph_refinement import PoseRefinement
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.mapping.pose_graph import PoseGraph, graph_available

CONFIG = SlamConfig().with_overrides(
    ["encoder.threads=1", "device=cpu", "tracker.segment_after_s=0.3"])


@pytest.mark.render
def test_places_that_look_alike_are_not_joined(encoder):
    """Equal doors: the view back along the corridor is taken for the one ahead, until the camera
    is where it was before.
    """
    start, away, back = (0, 15, 30, 45), (500, 510, 520), (35, 25, 12)
    numbers = (*start, *away, *back)
    world = dict(zip(numbers, world_shots("corridor", 2, numbers), strict=True))
    mapper = Mapper(CONFIG, encoder, map_id="m")
    elsewhere = first_pose(1, exp_se3(np.array([1.0, 2.0, 0.3, 0.0, 0.0, 0.7])))
    true = {}

    def show(numbers, T_map_world):
        before = None
        for number in numbers:
            item = world[number]
            features = extract_features(encoder, item.frame, FeatureConfig(), SensorConfig())
            T = T_map_world @ item.T_world_cam_44
            reference = None if before is None else (before[0], invert_pose(before[1]) @ T)
            before = (len(true), T)
            mapper.add_keyframe(Keyframe.from_features(
                len(true), item.frame.stamp_ns + len(true), T, features, item.frame.camera,
                reference), "m")
            true[len(true)] = item.T_world_cam_44
            mapper.work(float("inf"))

    show(start, np.eye(4))
    show(away, elsewhere)
    assert set(keyframes_by_segment(mapper)) == {0, 1}
    show(back, elsewhere)
    assert set(keyframes_by_segment(mapper)) == {0}
    assert max(pose_error(T, true[i])[0] for i, T in mapper.keyframe_poses.items()) < 0.05


def test_a_keyframe_that_fits_two_places_is_no_witness():
    refinement = PoseRefinement(CONFIG, KeyframeBuffer(10))
    points = scene.some_points(np.random.default_rng(0))
    seen = scene.keyframe(0, points)
    once = np.repeat(points[:, None], 2, axis=1)
    twice = once + np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    sigma = np.full((len(points), 2), 0.02, np.float32)
    locate = refinement.joiner._locate
    found = locate(seen, Predictions(once.astype(np.float32), sigma))
    assert found is not None and pose_error(found.T_map_cam, np.eye(4))[0] < 0.01
    assert locate(seen, Predictions(twice.astype(np.float32), sigma)) is None


def test_experts_move_with_their_segment_forgotten_keyframes_too():
    learner = make_learner(CONFIG, scene.encoder())
    rng = np.random.default_rng(0)
    shift = first_pose(1, np.eye(4))
    here, there = scene.some_points(rng), scene.some_points(rng)
    for k, (points, T) in enumerate(((here, np.eye(4)), (there, shift), (there, shift))):
        learner.observe(replace(scene.keyframe(k, points), T_map_cam=T), T)
    learner.forget(1)
    learned = learner.export()
    motion = exp_se3(np.array([1.0, -0.5, 0.2, 0.1, 0.4, -0.2])) @ invert_pose(shift)
    before = learner.predict(scene.describe(there))
    learner.move_segment(1, motion, {2: motion @ shift})
    after = learner.predict(scene.describe(there))
    own = segments_of(before.coords_map_NS3.reshape(-1, 3)) == 1
    moved = transform_points(motion, before.coords_map_NS3.reshape(-1, 3).astype(np.float64))
    expected = np.where(own[:, None], moved, before.coords_map_NS3.reshape(-1, 3))
    assert own.any() and not own.all()
    assert np.abs(after.coords_map_NS3.reshape(-1, 3) - expected).max() < 2e-3
    assert np.array_equal(after.sigma_m_NS, before.sigma_m_NS)
    assert float(learner.export()["offset_step"].max()) < 0.1 * float(
        learned["offset_step"].max())
    learner.retarget({2: motion @ shift})  # sums made anew say the same
    again = learner.predict(scene.describe(there))
    assert np.abs(again.coords_map_NS3 - after.coords_map_NS3).max() < 5e-3
    held = np.isfinite(after.sigma_m_NS)
    assert np.abs(again.sigma_m_NS[held] - after.sigma_m_NS[held]).max() < 2e-3


@pytest.mark.skipif(not graph_available(), reason="gtsam is not installed")
def test_segments_stay_apart_in_the_graph():
    """Without an edge between them, each keeps its place, and loops close within each."""
    step = exp_se3(np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0]))
    poses, graph = {}, PoseGraph()
    for k in range(12):
        before = poses.get(k - 1)
        poses[k] = first_pose(1, np.eye(4)) if k == 6 else (
            np.eye(4) if before is None else before @ step)
        if k not in (0, 6):
            graph.add(odometry_edge(k - 1, k, step))
    off = exp_se3(np.array([0.48, 0.0, 0.0, 0.0, 0.0, 0.0]))
    graph.add(Edge(0, 5, off, np.diag(np.full(6, 1e-4)), EdgeKind.LOOP))
    found = graph.optimize(poses).poses
    assert pose_error(found[5], poses[5])[0] > 0.003
    assert all(pose_error(found[k], poses[k])[0] < 1e-6 for k in (0, *range(6, 12)))


def test_a_keyframe_sent_before_the_join_was_known_finds_its_place():
    buffer = KeyframeBuffer(10)
    refinement = PoseRefinement(CONFIG, buffer)
    points = scene.some_points(np.random.default_rng(0))
    shift, step = first_pose(1, np.eye(4)), exp_se3(np.array([0.2, 0, 0, 0, 0.1, 0]))
    first = replace(scene.keyframe(0, points), T_map_cam=shift)
    buffer.add(first, refinement.place(first))
    refinement.add(first)
    home = exp_se3(np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.5]))
    for nudge_m in (0.0, 0.01):  # and corrected once more since
        buffer.move({0: exp_se3(np.array([nudge_m, 0, 0, 0, 0, 0])) @ home})
    late = replace(scene.keyframe(1, points), T_map_cam=shift @ step, reference=(0, step))
    assert np.allclose(refinement.place(late), buffer.pose(0) @ step)
