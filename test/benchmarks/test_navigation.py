"""How the navigation benchmark judges: a slice of a world, distances, obstacles in exact depth."""

import navigation
import numpy as np
import pytest
from lib.drives import CLEAR_M, driven, free_round
from lib.floor_plan import FloorPlan
from lib.obstacle_truth import ObstacleTally

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import R_BODY_OPTICAL_33, make_pose
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


def test_what_is_below_a_way_that_leads_over_a_box(plan):
    grid = GridPicture(np.zeros((40, 40), np.int8), 0.05, (0.6, 0.6))
    feet = np.array([[0.7, 0.8], [1.0, 1.0], [1.1, 1.1], [0.4, 0.4]])
    said = navigation.below_the_way(grid, plan, feet, np.eye(3))
    assert said == {"above_things": 0.5, "open_free": 0.5, "open_occupied": 0.0,
                    "things_free": 1.0}


CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
T_WORLD_CAM = make_pose(R_BODY_OPTICAL_33, np.array([0.0, 0.0, 0.5]))


def tally(measured_m, exact_m):
    found = ObstacleTally()
    image = np.zeros((240, 320, 3), np.uint8)
    found.add(Frame(1, image, measured_m, CAMERA), exact_m, T_WORLD_CAM)
    return found.figures()


def test_obstacles_are_judged_by_exact_depth():
    below = np.arange(240)[:, None] - CAMERA.cy
    floor = np.where(below > 5.0, 0.5 * CAMERA.fy / np.maximum(below, 5.0), 0.0)
    exact = np.broadcast_to(floor, (240, 320)).astype(np.float32).copy()
    exact[exact > 5.0] = 0.0
    exact[60:160, 100:140] = 2.0  # a thing 30 cm wide
    good = tally(exact, exact)
    assert (good["floor_points"], good["wrong"]) == (0, 0.0) and good["points"] > 50
    assert good["there"] > 0.98 and good["largest_missed_m2"] < 0.01
    blind = exact.copy()
    blind[60:160, 100:140] = 4.9
    missed = tally(blind, exact)
    assert missed["there"] < 0.02 and missed["largest_missed_m2"] > 0.1
    speckled = exact.copy()
    speckled[100:130, 250:290] = 1.0
    assert tally(speckled, exact)["wrong"] > 0.05
    without = exact.copy()
    without[60:160, 100:140] = 0.0
    hidden = tally(without, exact)
    assert hidden["there"] < 0.02 < 0.8 < hidden["there_of_measured"]


def test_the_robot_drives_where_nothing_stands_and_ends_where_it_began():
    builder = Builder(np.random.default_rng(0), texel_m=0.05)
    builder.box((0.0, 0.0, 0.5), (4.0, 4.0, 1.0), painted((90, 90, 90)))
    builder.box((0.3, 0.0, 0.5), (0.4, 0.4, 1.0), painted((90, 90, 90)))
    scene = builder.build()
    hall = type(scene)(scene.surfaces, scene.boxes[1:])
    found = free_round(hall)
    clear = np.linalg.norm(np.maximum(np.abs(found - (0.3, 0.0)) - 0.2, 0.0), axis=1)
    assert clear.min() > CLEAR_M - 0.03 and np.abs(found).max() < 2.0 - CLEAR_M + 0.03
    drive = driven("room", 0, None)
    steps = np.linalg.norm(np.diff(drive.truth.T_map_cam_N44[:, :3, 3], axis=0), axis=1)
    assert len(drive.truth) == 240 and steps.max() < 0.035
    ends = drive.truth.T_map_cam_N44[[0, -1], :3, 3]
    assert np.linalg.norm(ends[0] - ends[1]) < 0.04
