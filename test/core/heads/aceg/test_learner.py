"""Tokens: exact when keyframes move, bounded in number, and of one submap each."""

import numpy as np
import pytest
from helpers import scene_heads as scene

from ace_slam_ros.core.data.submaps import SubmapMotion
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.heads.aceg.head import AcegHead
from ace_slam_ros.core.heads.aceg.regressor import regressor_for
from ace_slam_ros.core.heads.factory import make_learner


def learner_of(frames, **values):
    learner = make_learner(scene.config("aceg", **values), scene.encoder())
    for frame in frames:
        learner.observe(frame, frame.T_map_cam)
    return learner


def points_of(learner):
    arrays = learner.export()
    return arrays["token_offsets"] * arrays["token_step"] + arrays["token_center"]


def test_moved_keyframes_take_their_tokens_along_exactly():
    frames = scene.keyframes(6)
    rng = np.random.default_rng(4)
    moved = {k.id: exp_se3(rng.normal(size=6) * 0.002) @ k.T_map_cam for k in frames}
    learner = learner_of(frames)
    before = points_of(learner)
    learner.retarget(moved)
    rebuilt = make_learner(scene.config("aceg"), scene.encoder())
    for k in frames:  # the same features join the same tokens: they are first seen unmoved
        rebuilt.observe(k, k.T_map_cam)
        rebuilt.retarget({k.id: moved[k.id]})
        rebuilt.retarget({k.id: k.T_map_cam})
    rebuilt.retarget(moved)
    assert np.abs(points_of(learner) - points_of(rebuilt)).max() < 1e-4
    learner.retarget({k.id: k.T_map_cam for k in frames})
    assert np.abs(points_of(learner) - before).max() < 1e-4


def test_a_rigid_motion_of_all_keyframes_moves_every_token_by_it():
    frames = scene.keyframes(5)
    learner = learner_of(frames)
    before = points_of(learner)
    T = exp_se3(np.array([0.5, -0.3, 0.2, 0.3, -0.2, 0.4]))
    learner.retarget({k.id: T @ k.T_map_cam for k in frames})
    step = np.linalg.norm(learner.export()["token_step"])
    assert np.abs(points_of(learner)
                  - (before @ T[:3, :3].T + T[:3, 3])).max() < 2 * step + 1e-5


def test_the_number_of_tokens_is_bounded_and_new_places_find_room():
    learner = make_learner(scene.config("aceg", tokens=500), scene.encoder())
    for k in range(40):
        x = scene.some_points(np.random.default_rng(k), 60) + [0.25 * k, 0.0, 0.0]
        frame = scene.keyframe(k, x)
        learner.observe(frame, frame.T_map_cam)
        assert learner.token_count <= 500 + 60 * 6
    for k in range(40, 70):  # nothing new: what is protected as new may go
        frame = scene.keyframe(k, x)
        learner.observe(frame, frame.T_map_cam)
    assert learner.token_count <= 500
    covered = points_of(learner)[:, 0]
    assert covered.min() < 0.5 and covered.max() > 9.0


def test_what_looks_alike_at_one_place_is_one_token():
    frame = scene.keyframe(0, scene.some_points(np.random.default_rng(0), 100))
    learner = learner_of([frame])
    count = learner.token_count
    learner.observe(scene.keyframe(
        1, scene.some_points(np.random.default_rng(0), 100)), np.eye(4))
    assert learner.token_count == count


def test_submaps_are_kept_apart_and_move():
    frames = scene.keyframes(2)
    learner = make_learner(scene.config("aceg"), scene.encoder())
    learner.observe(frames[0], frames[0].T_map_cam)
    learner.observe(frames[1], frames[1].T_map_cam, 2)
    d = frames[1].descriptors_ND
    p = learner.predict(d)
    assert set(np.unique(p.submap_NS)) == {0, 2}
    motion = SubmapMotion(exp_se3(np.array([1.0, 0.0, 0.0, 0.0, 0.2, 0.0])), 0)
    pose = motion.T_44 @ frames[1].T_map_cam
    learner.move_submap(2, motion, {frames[1].id: pose})
    after = learner.predict(d)
    assert after.submap_NS is None
    truth = frames[1].points_cam_N3 @ pose[:3, :3].T + pose[:3, 3]
    error = np.linalg.norm(after.coords_map_NS3 - truth[:, None], axis=2)
    error = np.where(np.isfinite(after.sigma_m_NS), error, np.inf).min(axis=1)
    assert np.median(error) < 0.03
    learner.retarget({frames[1].id: pose})
    assert (np.abs(learner.predict(d).coords_map_NS3 - after.coords_map_NS3) < 1e-3).all()


def test_tokens_of_another_regressor_are_refused():
    tensors = learner_of(scene.keyframes(1)).export()
    tensors["token_regressor"] += 1
    with pytest.raises(MapError, match="regressor"):
        AcegHead(tensors, regressor_for(scene.encoder()))
