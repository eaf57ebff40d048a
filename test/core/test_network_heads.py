"""Mathematics of the trained heads against plain twins: votes, growth, loss, replay, sigma."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.geometry.se3 import exp_se3, make_pose, transform_points
from ace_slam_ros.core.heads.factory import make_learner
from ace_slam_ros.core.heads.neural.calibration import Calibration, sigma_from_table
from ace_slam_ros.core.heads.neural.network import (
    HomogeneousNetwork,
    TriPlaneNetwork,
    initial_trunk,
    remap_moments,
    remap_votes,
    run_trunk,
)
from ace_slam_ros.core.heads.neural.plane_grid import PLANES, Grid
from ace_slam_ros.core.heads.neural.replay import Batch, Replay
from ace_slam_ros.core.heads.neural.training_step import robust_loss

_spec = importlib.util.spec_from_file_location(
    "scene_heads", Path(__file__).with_name("scene_heads.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)

CPU = torch.device("cpu")
LOW, HIGH = np.array([-1.0, -0.5, 0.5]), np.array([1.0, 0.7, 2.9])


def spread_weights(grid, seed=0):
    """Weights whose votes are far from equal."""
    weights = initial_trunk(16, 24, 2, grid.votes, torch.Generator().manual_seed(seed))
    weights["w2"] *= 20
    weights["b2"] += 2 * torch.randn(grid.votes, generator=torch.Generator().manual_seed(seed))
    return weights


def descriptors(count=40):
    d = torch.randn(count, 16, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.normalize(d, dim=1)


def test_votes_equal_a_plain_loop():
    grid = Grid.around(LOW, HIGH, 7)
    weights, d = spread_weights(grid), descriptors(5)
    coords, hint = TriPlaneNetwork.on(grid, CPU).forward(weights, d)
    logits = run_trunk(weights, d).double().numpy()
    for n in range(5):
        votes, squares, start = [[], [], []], [[], [], []], 0
        for a, b in PLANES:
            size = grid.cells[a] * grid.cells[b]
            p = np.exp(logits[n, start:start + size])
            p = (p / p.sum()).reshape(grid.cells[a], grid.cells[b])
            start += size
            for axis, marginal in ((a, p.sum(axis=1)), (b, p.sum(axis=0))):
                center = grid.low_m[axis] + (np.arange(grid.cells[axis]) + 0.5) * grid.cell_m[axis]
                votes[axis].append(marginal @ center)
                squares[axis].append(marginal @ center**2)
        mean = np.mean(votes, axis=1)
        variance = np.mean(np.mean(squares, axis=1) - mean**2)
        assert np.allclose(coords[n].numpy(), mean, atol=1e-4)
        assert hint[n].item() == pytest.approx(np.sqrt(variance), abs=1e-3)


def test_homogeneous_points_equal_the_formula():
    network = HomogeneousNetwork.around(LOW, HIGH)
    weights, d = initial_trunk(16, 24, 2, 4, torch.Generator().manual_seed(0)), descriptors(6)
    weights["w2"] *= 20
    coords, _ = network.forward(weights, d)
    h = d.double().numpy() * 4.0
    for i in range(2):
        step = np.maximum(h @ weights[f"w{i}"].double().numpy(), 0)
        h = step if i == 0 else h + step
    out = h @ weights["w2"].double().numpy()
    scale = np.log1p(np.exp(out[:, 3:])) / np.log(2) + 0.01
    expected = (LOW + HIGH) / 2 + 1.2 * out[:, :3] / scale
    assert np.allclose(coords.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_a_grid_covers_its_box_with_cubes():
    grid = Grid.around(LOW, HIGH, 12)
    low, high = grid.hull()
    assert len(set(grid.cell_m)) == 1 and max(grid.cells) == 12
    assert (low - grid.cell_m[0] / 2 <= LOW + 1e-9).all()
    assert (high + grid.cell_m[0] / 2 >= HIGH - 1e-9).all()


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.floats(-30, 30)] * 3), st.integers(60, 400))
def test_growth_reaches_the_point_within_the_limit_of_votes(point, most):
    grid = Grid.around(LOW, HIGH, 6)
    found = grid.covering(np.array(point), np.array(point), most)
    if found is None:
        low, high = grid.hull()
        assert (low <= point).all() and (point <= high).all()
        return
    grown, rows = found
    low, high = grown.hull()
    assert (low <= np.array(point) + 1e-6).all() and (np.array(point) - 1e-6 <= high).all()
    assert (low <= grid.hull()[0] + grid.cell_m[0]).all(), "the old box stays inside"
    assert grown.votes <= most
    assert rows.mix_NC.shape == (grown.votes, grid.votes)
    joined = torch.exp(rows.log_count_N)
    assert float(joined.sum()) == pytest.approx(grid.votes, abs=1e-3), "old cells live on once"


def test_growth_keeps_predictions():
    grid = Grid.around(LOW, HIGH, 8)
    weights, d = spread_weights(grid), descriptors()
    before, _ = TriPlaneNetwork.on(grid, CPU).forward(weights, d)
    grown, rows = grid.covering(LOW - 0.9, HIGH + [2.0, 0.0, 0.4], 10_000)
    assert grown.cell_m == grid.cell_m and grown.votes > 1.5 * grid.votes
    after, _ = TriPlaneNetwork.on(grown, CPU).forward(remap_votes(weights, rows, d), d)
    assert (after - before).norm(dim=1).max() < 0.005
    again = grown.covering(LOW - 0.9, HIGH + [2.0, 0.0, 0.4], 10_000)
    assert again is None


def test_merging_moves_predictions_by_less_than_half_a_cell_and_training_state_follows():
    grid = Grid.around(LOW, HIGH, 8)
    weights, d = spread_weights(grid), descriptors()
    weights["b2"], weights["w2"] = weights["b2"] / 4, weights["w2"] / 2
    before, _ = TriPlaneNetwork.on(grid, CPU).forward(weights, d)
    grown, rows = grid.covering(LOW - 0.4, HIGH, grid.votes)
    assert max(grown.cell_m) == 2 * grid.cell_m[0] and grown.votes <= grid.votes
    after, _ = TriPlaneNetwork.on(grown, CPU).forward(remap_votes(weights, rows, d), d)
    assert (after - before).abs().max() < grid.cell_m[0] / 2
    moments = remap_moments({n: torch.ones_like(w) for n, w in weights.items()}, rows)
    assert moments["b2"].shape == (grown.votes,) and set(moments["b2"].unique().tolist()) == {0, 1}


def test_equal_votes_are_merged_exactly():
    grid = Grid((0.0, 0.0, 0.0), (0.25,) * 3, (8, 4, 4))
    weights = spread_weights(grid)
    for name in ("w2", "b2"):  # both cells of each pair along x vote alike
        tensor = weights[name].reshape(-1, grid.votes)
        start = 0
        for a, b in PLANES:
            size = grid.cells[a] * grid.cells[b]
            block = tensor[:, start:start + size].view(-1, grid.cells[a], grid.cells[b])
            if a == 0:
                block[:, 1::2] = block[:, ::2]
            start += size
    d = descriptors()
    before, _ = TriPlaneNetwork.on(grid, CPU).forward(weights, d)
    merged, rows = grid._merged(0)
    after, _ = TriPlaneNetwork.on(merged, CPU).forward(remap_votes(weights, rows, d), d)
    assert merged.cells == (4, 4, 4) and torch.allclose(after, before, atol=1e-3)


def test_a_broken_grid_is_refused():
    with pytest.raises(MapError, match="grid"):
        Grid.from_tensors({"grid_low": torch.zeros(3)})
    with pytest.raises(MapError, match="impossible"):
        Grid.from_tensors(Grid.around(LOW, HIGH, 4).tensors() | {"grid_cell": torch.zeros(3)})
    grid = Grid.around(LOW, HIGH, 4)
    assert Grid.from_tensors(grid.tensors()) == grid


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


def test_loss_equals_the_full_covariance():
    rng = np.random.default_rng(0)
    ray = rng.normal(size=(20, 3))
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    depth_sigma, side_sigma = rng.uniform(0.01, 0.1, 20), rng.uniform(0.001, 0.02, 20)
    target, coords = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    expected = []
    for n in range(20):
        outer = np.outer(ray[n], ray[n])
        covariance = depth_sigma[n]**2 * outer + side_sigma[n]**2 * (np.eye(3) - outer)
        covariance += 0.02**2 * np.eye(3)
        r = coords[n] - target[n]
        expected.append(np.sqrt(1 + r @ np.linalg.inv(covariance) @ r) - 1)
    batch = Batch(torch.zeros(20, dtype=torch.int64), torch.zeros(20, 1),
                  *(torch.tensor(v) for v in (target, ray, depth_sigma, side_sigma)))
    assert robust_loss(torch.tensor(coords), batch).item() == pytest.approx(np.mean(expected))


def replay_of(frames, features=50):
    replay = Replay(features, SensorConfig(), CPU, torch.Generator().manual_seed(0))
    for frame in frames:
        replay.add(frame, frame.T_map_cam)
    return replay


def test_targets_follow_the_pose_of_the_keyframe():
    frames = scene.keyframes(20, points=80)
    replay = replay_of(frames)
    moved = exp_se3(np.array([0.5, -0.2, 0.1, 0.3, 0.2, -0.4]))
    replay.move({frames[7].id: moved})
    for frame, T in ((frames[7], moved), (frames[8], frames[8].T_map_cam)):
        slot = replay._slots[frame.id]
        batch = replay.batch(slot * 50 + torch.arange(50))
        expected = transform_points(T, frame.points_cam_N3.astype(np.float64))
        gap = np.abs(batch.target_map_B3.numpy()[:, None] - expected[None]).max(axis=2)
        row = gap.argmin(axis=1)
        assert gap.min(axis=1).max() < 1e-5 and len(set(row)) == 50
        assert np.allclose(batch.descriptors_BD.numpy(), frame.descriptors_ND[row], atol=1e-6)
        ray = expected[row] - T[:3, 3]
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        assert np.allclose(batch.ray_map_B3.numpy(), ray, atol=1e-5)
    low, high = replay.bounds([frames[8].id])
    points = transform_points(frames[8].T_map_cam, frames[8].points_cam_N3.astype(np.float64))
    assert (low >= points.min(axis=0) - 1e-5).all() and (high <= points.max(axis=0) + 1e-5).all()


def test_badly_explained_and_new_keyframes_are_drawn_more_often():
    replay = replay_of(scene.keyframes(10, points=80))
    replay.note_errors(torch.arange(8).repeat(4000), torch.zeros(32_000))  # these agree
    slots = replay.draw(40_000, newest=2, newest_share=0.2, alpha=0.3) // 50
    share = torch.bincount(slots, minlength=10) / 40_000
    weight = np.array([0.1] * 8 + [0.4] * 2)
    expected = 0.8 * weight / weight.sum()
    expected[8:] += 0.1
    held = [replay._slots[k] for k in range(10)]
    assert held == sorted(held) == list(range(10))
    assert np.allclose(share.numpy(), expected, atol=0.01)


def test_forgotten_keyframes_make_room():
    frames = scene.keyframes(60, points=30)
    replay = replay_of(frames[:10])
    for new, old in zip(frames[10:], frames, strict=False):
        replay.remove(old.id)
        replay.add(new, new.T_map_cam)
    assert len(replay) == 10 and len(replay._count_K) == 16, "16 places are the first room"
    drawn = replay.batch(replay.draw(500, 3, 0.3, 0.1))
    assert torch.isfinite(drawn.target_map_B3).all()
    assert torch.allclose(drawn.descriptors_BD.norm(dim=1), torch.ones(500), atol=1e-5)


def test_sigma_is_learned_from_residuals():
    calibration = Calibration(CPU)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        hint = torch.rand(2000, generator=generator) * 0.4 + 0.01
        error = torch.randn(2000, 3, generator=generator) * (0.02 + 0.3 * hint)[:, None]
        calibration.observe(hint, error.norm(dim=1))
    asked = torch.tensor([0.02, 0.05, 0.1, 0.3])
    sigma = sigma_from_table(calibration.table(), asked)
    assert torch.allclose(sigma, 0.02 + 0.3 * asked, rtol=0.2)
    resumed = Calibration(CPU)
    resumed.restore(calibration.table())
    assert torch.allclose(resumed.table(), calibration.table(), rtol=1e-5)


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
