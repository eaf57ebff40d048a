"""Trajectory errors against brute force and against evo."""

import math

import numpy as np
import pytest
from helpers.trajectories import STEP_NS, moved, noisy, smooth
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, log_se3
from ace_slam_ros.evaluation.trajectory_error import (
    absolute_trajectory_error,
    align_se3,
    compared,
    relative_pose_error,
)


@pytest.mark.parametrize(("first", "last", "shift_s"), [(0, 50, 0), (20, 50, 0), (0, 50, 1e9)])
def test_what_was_compared(first, last, shift_s):
    """Whole, partial and no overlap in time."""
    truth = smooth(50)
    part = Trajectory(truth.stamps_ns[first:last] + int(shift_s * 1e9),
                      truth.T_map_cam_N44[first:last])
    found = absolute_trajectory_error(truth, part)
    said = compared(truth, part, found.paired_N)
    assert said["of"] == 50 and said["poses"] == (0 if shift_s else found.pairs)
    if shift_s:
        assert "no time in common" in said["problem"] and said["from_s"] is None
    else:
        assert said["until_s"] == truth.stamps_ns[-1] * 1e-9 and not said["problem"]
        assert abs(said["from_s"] - truth.stamps_ns[first] * 1e-9) < 0.06


def test_alignment_beats_a_numerical_search():
    rng = np.random.default_rng(3)
    source = rng.normal(size=(30, 3))
    target = source @ exp_se3(np.array([1, 2, 3, 0.3, -1.0, 2.0]))[:3, :3].T
    target = target + rng.normal(0, 0.1, target.shape) + [1.0, 2.0, 3.0]

    def cost(x):
        T = exp_se3(x)
        return float(np.sum((target - source @ T[:3, :3].T - T[:3, 3]) ** 2))

    found = align_se3(source, target)
    best = minimize(cost, log_se3(found) + 0.1, method="BFGS")
    assert cost(log_se3(found)) <= best.fun * (1 + 1e-6)
    np.testing.assert_allclose(exp_se3(best.x), found, atol=1e-4)
    np.testing.assert_array_equal(align_se3(np.empty((0, 3)), np.empty((0, 3))), np.eye(4))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.integers(0, 5))
def test_ate_does_not_depend_on_the_map_frame(twist, seed):
    truth = smooth(60, seed)
    estimate = noisy(truth, 0.02, seed)
    T_44 = exp_se3(np.array(twist))
    plain = absolute_trajectory_error(estimate, truth)
    other = absolute_trajectory_error(moved(T_44, estimate), truth)
    assert other.rmse_m == pytest.approx(plain.rmse_m, rel=1e-6)
    exact = absolute_trajectory_error(moved(T_44, truth), truth)
    assert exact.rmse_m < 1e-9 and exact.pairs == 60
    np.testing.assert_allclose(exact.T_groundtruth_map, invert_pose(T_44), atol=1e-7)


def test_figures_of_known_errors():
    truth = smooth(100)
    poses = truth.T_map_cam_N44.copy()
    poses[::2, 2, 3] += 0.01
    poses[1::2, 2, 3] -= 0.01
    result = absolute_trajectory_error(Trajectory(truth.stamps_ns, poses), truth)
    assert result.rmse_m == pytest.approx(0.01, rel=1e-2)
    assert result.median_m <= result.max_m and result.mean_m <= result.rmse_m + 1e-12
    assert result.rmse_m == pytest.approx(math.sqrt(np.mean(result.errors_m**2)))


def test_ground_truth_is_interpolated_and_gaps_are_not_counted():
    truth = smooth(300)
    keep = np.r_[0:100, 150:300]
    holed = Trajectory(truth.stamps_ns[keep], truth.T_map_cam_N44[keep])
    between = Trajectory(truth.stamps_ns[:-1] + STEP_NS // 2, truth.at(
        truth.stamps_ns[:-1] + STEP_NS // 2)[0])
    result = absolute_trajectory_error(between, truth)
    assert result.pairs == 299 and result.rmse_m < 1e-9
    result = absolute_trajectory_error(between, holed)
    assert 248 <= result.pairs <= 252 and not result.paired_N[105:145].any()


def test_without_overlap_everything_is_nan():
    truth = smooth(50)
    later = Trajectory(truth.stamps_ns + 10**12, truth.T_map_cam_N44)
    nothing = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    for estimate, reference in ((later, truth), (nothing, truth), (truth, nothing)):
        ate = absolute_trajectory_error(estimate, reference)
        assert ate.pairs == 0 and math.isnan(ate.rmse_m)
        rpe = relative_pose_error(estimate, reference)
        assert rpe.pairs == 0 and math.isnan(rpe.trans_rmse_m_per_s)


def test_rpe_of_a_constant_drift():
    truth = smooth(120)
    t = (truth.stamps_ns - truth.stamps_ns[0]) * 1e-9
    poses = np.tile(np.eye(4), (120, 1, 1))
    still = Trajectory(truth.stamps_ns, poses.copy())
    poses[:, 0, 3] = 0.03 * t
    result = relative_pose_error(Trajectory(truth.stamps_ns, poses), still)
    assert result.trans_rmse_m_per_s == pytest.approx(0.03, rel=1e-6)
    assert result.rot_rmse_deg_per_s == pytest.approx(0.0, abs=1e-6)
    turning = np.stack([exp_se3(np.array([0, 0, 0, 0, math.radians(5) * s, 0])) for s in t])
    result = relative_pose_error(Trajectory(truth.stamps_ns, turning), still, delta_s=0.5)
    assert result.rot_rmse_deg_per_s == pytest.approx(5.0, rel=1e-6)


def test_rpe_brute_force_with_gaps():
    truth = smooth(150)
    whole = noisy(truth, 0.01)
    keep = np.r_[0:60, 75:150]
    estimate = Trajectory(whole.stamps_ns[keep], whole.T_map_cam_N44[keep])
    squares = []
    for i, (stamp, T) in enumerate(zip(estimate.stamps_ns, estimate.T_map_cam_N44, strict=True)):
        j = int(np.argmin(np.abs(estimate.stamps_ns - stamp - 10**9)))
        late = stamp + 10**9 > estimate.stamps_ns[-1]
        if late or abs(int(estimate.stamps_ns[j] - stamp) - 10**9) > 50_000_000 or j <= i:
            continue
        truly = np.linalg.inv(truth.T_map_cam_N44[keep[i]]) @ truth.T_map_cam_N44[keep[j]]
        error = np.linalg.inv(truly) @ np.linalg.inv(T) @ estimate.T_map_cam_N44[j]
        squares.append((np.linalg.norm(error[:3, 3]) / (
            (estimate.stamps_ns[j] - stamp) * 1e-9)) ** 2)
    result = relative_pose_error(estimate, truth)
    assert result.pairs == len(squares) > 50
    assert result.trans_rmse_m_per_s == pytest.approx(math.sqrt(np.mean(squares)), rel=1e-9)


def test_same_figures_as_evo():
    metrics = pytest.importorskip("evo.core.metrics")
    from evo.core.trajectory import PoseTrajectory3D

    truth = smooth(200)
    estimate = moved(exp_se3(np.array([1, -2, 0.5, 0.4, 1.0, -0.7])), noisy(truth, 0.02))

    def to_evo(trajectory):
        return PoseTrajectory3D(poses_se3=list(trajectory.T_map_cam_N44),
                                timestamps=trajectory.stamps_ns * 1e-9)

    reference, aligned = to_evo(truth), to_evo(estimate)
    aligned.align(reference)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, aligned))
    ours = absolute_trajectory_error(estimate, truth)
    for name, value in (("rmse", ours.rmse_m), ("mean", ours.mean_m),
                        ("median", ours.median_m), ("max", ours.max_m)):
        assert value == pytest.approx(ape.get_all_statistics()[name], rel=1e-5)

    frames = 30  # 0.99 s
    seconds = frames * STEP_NS * 1e-9
    rpe = relative_pose_error(estimate, truth, delta_s=seconds)
    for relation, value in ((metrics.PoseRelation.translation_part, rpe.trans_rmse_m_per_s),
                            (metrics.PoseRelation.rotation_angle_deg, rpe.rot_rmse_deg_per_s)):
        theirs = metrics.RPE(relation, frames, metrics.Unit.frames, all_pairs=True)
        theirs.process_data((reference, to_evo(estimate)))
        assert value * seconds == pytest.approx(theirs.get_all_statistics()["rmse"], rel=1e-5)
