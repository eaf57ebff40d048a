"""Networks of the trained heads against plain twins."""

import numpy as np
import pytest
import torch
from helpers.networks import CPU, HIGH, LOW

from ace_slam_ros.core.heads.neural.network import (
    HomogeneousNetwork,
    TriPlaneNetwork,
    initial_trunk,
    remap_moments,
    remap_votes,
    run_trunk,
)
from ace_slam_ros.core.heads.neural.plane_grid import PLANES, Grid


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
