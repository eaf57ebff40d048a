"""The grid of planes: cubes, growth within the limit of votes, merging."""

import numpy as np
import pytest
import torch
from helpers.networks import HIGH, LOW
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.heads.neural.plane_grid import Grid


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


def test_a_broken_grid_is_refused():
    with pytest.raises(MapError, match="grid"):
        Grid.from_tensors({"grid_low": torch.zeros(3)})
    with pytest.raises(MapError, match="impossible"):
        Grid.from_tensors(Grid.around(LOW, HIGH, 4).tensors() | {"grid_cell": torch.zeros(3)})
    grid = Grid.around(LOW, HIGH, 4)
    assert Grid.from_tensors(grid.tensors()) == grid
