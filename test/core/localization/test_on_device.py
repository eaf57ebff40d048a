"""Parts of localization on the device against their twins, the whole against solve_rgbd."""

import numpy as np
import pytest
import torch
from helpers.coordinates import SENSOR, SOLVER, flat, scene
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.config.sections import FeatureConfig
from ace_slam_ros.core.data.depth.sampling import cell_depth
from ace_slam_ros.core.encoders import cell_choice
from ace_slam_ros.core.geometry.rigid_alignment import kabsch_batch, kabsch_of_moments
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_error
from ace_slam_ros.core.heads.affine.expert_index import ExpertIndex, predict_at_once
from ace_slam_ros.core.heads.affine.head import FrozenExperts
from ace_slam_ros.core.heads.affine.padded import pad_experts
from ace_slam_ros.core.localization.device import description, proposals, solution
from ace_slam_ros.core.localization.device.description import Described
from ace_slam_ros.core.localization.device.proposals import Motions, Slots
from ace_slam_ros.core.localization.refinement import (
    covariance_of,
    match_reference,
    pose_covariance,
)
from ace_slam_ros.core.localization.rgbd import solve_rgbd
from ace_slam_ros.core.localization.scoring import score_poses_reference

CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=[
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")])]


def tensor(array, device=CPU):
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def slots_of(features, predictions, device=CPU, submap=0):
    """Slots with gates, and which features there are."""
    valid = np.isfinite(features.points_cam_N3[:, 2])
    described = Described(
        tensor(features.descriptors_ND, device), tensor(features.pixels_N2, device),
        tensor(np.nan_to_num(features.points_cam_N3), device), tensor(valid, device))
    sigma_NS = tensor(predictions.sigma_m_NS, device)
    slots = solution.into_slots(
        described, (tensor(predictions.coords_map_NS3, device), sigma_NS,
                    torch.zeros_like(sigma_NS, dtype=torch.int64)),
        torch.tensor(submap, device=device), SOLVER, SENSOR)
    return slots, described.valid_N


def solve(features, predictions, seed, device=CPU, submap=0):
    slots, valid_N = slots_of(features, predictions, device, submap)
    count = solution.random_count(len(valid_N), slots.sigma_NS.shape[1], SOLVER.hypotheses)
    random_R = torch.rand(count, generator=torch.Generator().manual_seed(seed)).to(device)
    return solution.Solved.of(solution.solve(
        slots, valid_N, random_R, solution.quaternion_table(torch.device(device)), SOLVER,
        SENSOR))


@pytest.mark.parametrize(("stride", "size"), [(8, (96, 128)), (4, (64, 80)), (8, (98, 132))])
def test_cells_are_those_of_the_cpu(stride, size):
    rng = np.random.default_rng(stride)
    gray = rng.integers(0, 256, size, dtype=np.uint8)
    gray[: size[0] // 2, : size[1] // 2] = 90  # no texture: equal cells
    rows, columns = np.mgrid[: size[0], : size[1]]
    depth = (1.0 + 0.01 * columns + 0.002 * rows).astype(np.float32)
    depth[rng.random(size) < 0.3] = 0.0
    depth[:20, :20] = np.nan
    h, w = size[0] // stride, size[1] // stride
    score = cell_choice.texture(gray, stride)[:h, :w]
    found = description.texture(tensor(gray), stride)[:h, :w]
    np.testing.assert_allclose(found, score, rtol=1e-4, atol=1e-7)
    usable = cell_depth(depth, stride, SENSOR)
    there = description.cell_depth(tensor(depth), stride, SENSOR)
    np.testing.assert_allclose(there, usable, rtol=1e-6)
    assert 0.2 < np.isfinite(usable).mean() < 0.99
    for count in (60, h * w):
        chosen = description.choose_cells(tensor(score), there, count).tolist()
        expected = cell_choice.choose_cells(
            score, np.isfinite(usable), FeatureConfig(count=count)).tolist()
        assert chosen == expected + [h * w] * (count - len(expected))


@pytest.mark.parametrize("neighbors", [1, 3])
def test_tables_say_what_experts_say(neighbors):
    random = torch.Generator().manual_seed(neighbors)
    words, experts, inputs = 50, 120, 6
    word_E = torch.randint(words, (experts,), generator=random).sort().values
    word_E[word_E == 7] = 8  # a word without experts
    W_EP3 = torch.randn(experts, inputs + 1, 3, generator=random)
    sigma_E, submap_E = torch.rand(experts, generator=random), torch.arange(experts) % 3
    words_Nk = torch.randint(words, (40, neighbors), generator=random)
    words_Nk[0] = 7
    z_NkP = torch.randn(40, neighbors, inputs + 1, generator=random)
    index = ExpertIndex(word_E, words)
    expected = predict_at_once(words_Nk, z_NkP, index, W_EP3, sigma_E, submap_E)
    table = pad_experts(FrozenExperts(
        index.start_K.numpy(), index.count_K.numpy(), W_EP3.numpy(), sigma_E.numpy(),
        submap_E.to(torch.uint8).numpy()), CPU)
    coords, sigma, submap = (
        part.unflatten(1, (neighbors, -1)).numpy() for part in table.predict(words_Nk, z_NkP))
    width = expected.sigma_m_NS.shape[1] // neighbors
    assert np.isinf(sigma[0]).all() and np.isinf(sigma[..., width:]).all()
    there = sigma[..., :width]
    np.testing.assert_array_equal(there.reshape(40, -1), expected.sigma_m_NS)
    held = np.isfinite(there)
    np.testing.assert_allclose(
        coords[..., :width, :][held],
        expected.coords_map_NS3.reshape(40, neighbors, width, 3)[held], atol=1e-5)
    np.testing.assert_array_equal(
        submap[..., :width][held], expected.submap_NS.reshape(40, neighbors, width)[held])


def test_a_head_without_experts_has_tables():
    none_K = np.zeros(5, np.int64)
    table = pad_experts(FrozenExperts(
        none_K, none_K, np.zeros((0, 3, 3), np.float32), np.zeros(0, np.float32),
        np.zeros(0, np.uint8)), CPU)
    sigma = table.predict(torch.tensor([[0], [4]]), torch.zeros(2, 1, 3))[1]
    assert torch.isinf(sigma).all()


def test_triangles_are_aligned_as_by_svd():
    rng = np.random.default_rng(3)
    source = rng.normal(size=(50, 3, 3))
    moved = source @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)
    target = moved + rng.normal(scale=0.02, size=moved.shape)
    found = proposals.align(tensor(source), tensor(target))
    expected = kabsch_batch(source, target)
    np.testing.assert_allclose(found.R_H33, expected[:, :3, :3], atol=1e-9)
    np.testing.assert_allclose(found.t_H3, expected[:, :3, 3], atol=1e-9)


@pytest.mark.parametrize("flatness", [(1, 1, 1), (1, 1, 1e-9), (1, 0.1, 1e-3)])
def test_rotations_are_those_of_the_svd(flatness):
    rng = np.random.default_rng(4)
    for _ in range(20):
        y = rng.normal(size=(100, 3)) * flatness @ Rotation.random(rng=rng).as_matrix().T
        x = y @ Rotation.random(rng=rng).as_matrix().T + rng.normal(scale=1e-5, size=y.shape)
        cross = y.T @ x
        found = solution.rotation(tensor(cross), solution.quaternion_table(CPU)).numpy()
        expected = kabsch_of_moments(cross, np.zeros(3), np.zeros(3))[:3, :3]
        np.testing.assert_allclose(found, expected, atol=1e-8)
        assert np.linalg.det(found) == pytest.approx(1.0)


def test_scores_matches_and_covariance_are_those_of_the_cpu():
    rng = np.random.default_rng(6)
    T, features, predictions, _ = scene(rng)
    known = flat(features, predictions)
    slots, _ = slots_of(features, predictions)
    held = torch.isfinite(slots.sigma_NS)
    slots = slots._replace(gate2_NS=torch.where(held, 0.003, 0.0))
    poses = np.stack([T @ exp_se3(rng.normal(size=6) * 0.005) for _ in range(9)])
    motions = Motions(tensor(poses[:, :3, :3]), tensor(poses[:, :3, 3]))
    everything = np.arange(len(features))
    np.testing.assert_allclose(solution.score_poses(motions, slots),
                               score_poses_reference(poses, known, everything), rtol=1e-4)
    variance = rng.uniform(1e-4, 2e-4, len(features))
    exact = Slots(*(part.double() for part in slots))
    for pose in poses:
        expected = match_reference(pose, known, variance)
        found = solution.match(
            tensor(pose[:3, :3]), tensor(pose[:3, 3]), exact, tensor(variance))
        agree = found.agree_N.numpy()
        np.testing.assert_array_equal(agree, expected.best_n >= 0)
        np.testing.assert_allclose(found.relative_N[agree], expected.relative_n[agree], rtol=1e-6)
        R_33, t_3 = solution.fit(found, exact.y_N3, tensor(pose[:3, 3]),
                                 solution.quaternion_table(CPU))
        np.testing.assert_allclose(np.c_[R_33, t_3], expected.fit()[:3], atol=1e-7)
        np.testing.assert_allclose(
            covariance_of(*solution.information(found).numpy()),
            pose_covariance(known.x_M3[expected.best_n[agree]].astype(np.float64), pose[:3, 3],
                            variance[agree], expected.residual2_n[agree]), rtol=1e-4, atol=1e-12)


def test_first_ones_are_found():
    mask = torch.tensor([[False, True, False, True, True], [False] * 5])
    index, held = proposals.first_true(mask, 2)
    assert index[0].tolist() == [1, 3] and held.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("outliers", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("device", DEVICES)
def test_poses_are_those_of_the_cpu(outliers, device):
    rng = np.random.default_rng(int(100 * outliers))
    for seed in range(3):
        T, features, predictions, good = scene(rng, outliers=outliers)
        features.points_cam_N3[-50:] = np.nan  # places without a feature are the last
        expected = solve_rgbd(features, predictions, SOLVER, SENSOR, rng)
        found = solve(features, predictions, seed, device)
        assert found.found and found.total == len(features) - 50
        trans, rot = pose_error(found.T_44, expected.T_map_cam)
        assert trans < 1e-3 and np.degrees(rot) < 0.02
        assert pose_error(found.T_44, T)[0] < 0.01
        assert found.confidence == pytest.approx(
            expected.confidence * len(features) / found.total, rel=0.02)
        assert found.spread == pytest.approx(expected.spread, rel=0.05)
        np.testing.assert_allclose(np.diag(found.covariance_66),
                                   np.diag(expected.covariance_66), rtol=0.1)
        same = found.inliers_N == expected.inliers_N[: found.total]
        assert same.mean() > 0.99 and (found.inliers_N & ~good[:found.total]).mean() < 0.05


def test_the_same_numbers_give_the_same_pose():
    _, features, predictions, _ = scene(np.random.default_rng(7))
    a, b, other = (solve(features, predictions, seed) for seed in (1, 1, 2))
    assert np.array_equal(a.T_44, b.T_44) and a.confidence == b.confidence
    assert pose_error(a.T_44, other.T_44)[0] < 1e-3


def test_no_pose_where_there_is_none():
    rng = np.random.default_rng(8)
    _, features, predictions, _ = scene(rng, outliers=1.0)
    assert not solve(features, predictions, 0).found
    _, features, predictions, _ = scene(rng, outliers=0.2)
    assert not solve(features, predictions, 0, submap=1).found
    predictions.sigma_m_NS[:] = np.inf
    assert not solve(features, predictions, 0).found
    features.points_cam_N3[:] = np.nan
    nothing = solve(features, predictions, 0)
    assert not nothing.found and nothing.total == len(nothing.inliers_N) == 0


def test_slots_without_hypothesis_agree_with_nothing():
    slots = Slots(torch.zeros(4, 3), torch.full((4, 2, 3), proposals.FAR_M),
                  torch.full((4, 2), torch.inf), torch.zeros(4, 2))
    motions, held_H = proposals.propose(
        slots, torch.rand(proposals.draw_count(2, 8)), 8)
    assert len(motions.R_H33) == 8 and not held_H.any()
