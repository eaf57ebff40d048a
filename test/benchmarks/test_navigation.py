"""How the navigation benchmark judges a grid: a slice of a world, and distances to the truth."""

import navigation
import numpy as np
import pytest
from lib.floor_plan import FloorPlan

from ace_slam_ros.core.navigation.occupancy_grid import GridPicture
from ace_slam_ros.synth.rendering.scene import Builder
from ace_slam_ros.synth.rendering.textures import painted


@pytest.fixture(scope="module")
def plan():
    builder = Builder(np.random.default_rng(0), texel_m=0.05)
    material = painted((90, 90, 90))
    builder.box((0.0, 0.0, 0.5), (4.0, 4.0, 0.02), material)  # between the heights
    builder.box((1.0, 1.0, 0.5), (0.4, 0.6, 1.0), material)
    builder.box((-1.0, 0.0, 2.2), (0.5, 0.5, 0.2), material)  # above them
    scene = builder.build()
    return FloorPlan.of(type(scene)(scene.surfaces[5:], scene.boxes[1:]), 0.1, 1.8)


def picture(value, x, y):
    """One cell at a place of the world."""
    return GridPicture(np.array([[value]], np.int8), 0.05, (x, y))


@pytest.mark.parametrize(("value", "x", "y", "error_m"), [
    (100, 0.80, 0.9, 0.0), (100, 0.60, 0.9, 0.15), (0, 0.60, 0.9, 0.0), (0, 0.83, 0.9, 0.02),
    (0, 1.0, 1.0, 0.17), (100, -1.0, 1.0, 1.77), (-1, 1.0, 1.0, 0.0)])
def test_cells_are_right_within_a_distance(plan, value, x, y, error_m):
    compared = plan.compare(picture(value, x, y), np.eye(3))
    assert compared.error_m_HW.item() == pytest.approx(error_m, abs=0.035)


def test_the_grid_is_laid_into_the_world(plan):
    turned = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    compared = plan.compare(picture(100, 0.9, -0.05), turned)
    assert compared.right(0.1) == 1.0 and plan.compare(picture(100, 0.9, -0.05),
                                                       np.eye(3)).right(0.1) == 0.0


def test_ghosts_and_ways(plan):
    cells = np.zeros((40, 40), np.int8)
    cells[3:6, 3:6] = 100
    grid = GridPicture(cells, 0.05, (-2.0, -2.0))
    assert navigation.ghost(plan.compare(grid, np.eye(3))) == pytest.approx(9 * 0.0025)
    driven = navigation.driven_over(grid, np.array([[-1.9, -1.0], [-1.8, -1.8], [9.0, 9.0]]))
    assert driven.tolist() == [0, 100, -1]
