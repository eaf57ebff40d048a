"""Alignment of rendered keyframes: true ones measured, look-alikes refused."""

import itertools

import numpy as np
import pytest
from helpers.keyframes import SENSOR, SOLVER

from ace_slam_ros.core.data.edge import EdgeKind
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, log_se3, pose_error
from ace_slam_ros.core.mapping.keyframe_alignment import align, align_both_ways
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer
from ace_slam_ros.core.mapping.keyframe_surface import ViewCache, make_view
from ace_slam_ros.core.mapping.loop_closure import LoopFinder, within_drift

pytestmark = pytest.mark.render


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
        buffer.add(corridor[0], SubmapPose(corridor[0].T_map_cam))
        twin = Keyframe(50, 50, T_b, *(getattr(corridor[0], name) for name in (
            "descriptors_i8_ND", "pixels_N2", "points_cam_N3", "camera")))
        buffer.add(twin, SubmapPose(T_b))
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
