"""The cells beside a feature's, found without a table of the whole image."""

import tracemalloc

import numpy as np

from ace_slam_ros.core.mapping.keyframe_surface import _neighbors


def by_table(pixels_N2, cell_px):
    """The slow twin: a table of the whole image."""
    cells = np.rint((pixels_N2 - pixels_N2.min(axis=0)) / cell_px).astype(np.int64) + 1
    table = np.full(cells.max(axis=0) + 2, -1, np.int64)
    table[cells[:, 0], cells[:, 1]] = np.arange(len(cells))
    return np.stack([table[cells[:, 0] + dx, cells[:, 1] + dy]
                     for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))], axis=1)


def test_neighbors_are_those_of_a_table():
    rng = np.random.default_rng(0)
    for count in (1, 2, 30, 800):
        pixels = (rng.integers(0, (80, 60), (count, 2)) * 8 + 3.5).astype(np.float32)
        cell_px, beside = _neighbors(pixels)
        assert np.array_equal(beside, by_table(pixels, cell_px))
        assert count < 800 or cell_px == 8.0


def test_two_features_side_by_side_cost_no_memory():
    """0.025 pixels apart, they made one keyframe cost the mapper 2.65 GB."""
    pixels = np.array([[0, 0], [0.025, 5], [640, 480], [300, 200]], np.float32)
    tracemalloc.start()
    cell_px, beside = _neighbors(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6 and cell_px == 1.0 and (beside == -1).all()
