"""Trained heads follow a robot that leaves the box, and say how sure they are."""

import numpy as np
from helpers import scene_heads as scene

from ace_slam_ros.core.geometry.se3 import make_pose
from ace_slam_ros.core.heads.factory import make_learner


def test_a_robot_that_leaves_the_box_is_followed():
    learner = make_learner(scene.config("trimlp"), scene.encoder())
    rng = np.random.default_rng(0)
    for k in range(4):
        frame = scene.keyframe(k, scene.some_points(rng))
        learner.observe(frame, frame.T_map_cam)
    learner.work(float("inf"))
    d = scene.describe(scene.some_points(rng, 100))
    before = learner.predict(d).coords_map_NS3
    reach = learner.export()["grid_cells"]
    away = scene.some_points(rng, 300, (2.0, -0.8, 1.0), (4.0, 0.8, 2.6))
    frame = scene.keyframe(9, away)
    learner.observe(frame, frame.T_map_cam)
    assert (learner.export()["grid_cells"] >= reach).all()
    assert np.abs(learner.predict(d).coords_map_NS3 - before).max() < 0.02, "nothing is lost"
    for _ in range(2):
        learner.retarget({9: frame.T_map_cam})
        learner.work(float("inf"))
    assert np.median(learner.predict(scene.describe(away)).coords_map_NS3[:, 0, 0]) > 2.0


def test_the_map_learns_despite_wrong_depth_and_says_how_sure_it_is():
    # noise on descriptors would count as error of the map here, where they are exact
    learner = make_learner(scene.config("trimlp", descriptor_noise=0.02), scene.encoder())
    rng = np.random.default_rng(2)
    for k in range(8):
        x = scene.some_points(rng)
        frame = scene.keyframe(k, x, make_pose(np.eye(3), rng.normal(size=3) * 0.1))
        frame.points_cam_N3[:40] *= rng.uniform(1.2, 2.0, size=(40, 1)).astype(np.float32)
        learner.observe(frame, frame.T_map_cam)
        learner.work(float("inf"))
    x = scene.some_points(rng, 400)
    p = learner.predict(scene.describe(x))
    error = np.linalg.norm(p.coords_map_NS3[:, 0] - x, axis=1)
    assert np.median(error) < 0.15
    assert 0.3 < np.median(error / p.sigma_m_NS[:, 0]) < 3
