"""Loops are searched within drift, not between doors that look alike."""

import pytest
from helpers.keyframes import SENSOR, SOLVER

from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.geometry.se3 import invert_pose, pose_error
from ace_slam_ros.core.mapping.keyframe_alignment import align
from ace_slam_ros.core.mapping.keyframe_buffer import KeyframeBuffer
from ace_slam_ros.core.mapping.keyframe_surface import ViewCache, make_view
from ace_slam_ros.core.mapping.loop_closure import LoopFinder

pytestmark = pytest.mark.render


def test_no_wrong_loop_between_doors(corridor):
    """Whatever the finder proves among keyframes up to three meters apart is true."""
    buffer = KeyframeBuffer(50)
    for k in corridor:
        buffer.add(k, SubmapPose(k.T_map_cam))
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
