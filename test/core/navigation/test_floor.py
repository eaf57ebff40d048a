"""The floor on made depth: from the mount, fitted, contradicted, and none."""

import numpy as np
import pytest
from helpers.floors import CAMERA, WALLS, camera_at, look

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.data.submaps import SubmapMotion
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.navigation.floor import FloorFinder, fit_floor, floor_of_mount, sampled

SENSOR = SensorConfig()
#: Nobody gave the map its z axis: its origin is somewhere, turned.
T_MAP_WORLD = exp_se3(np.array([1.0, -2.0, 0.5, 0.2, 0.1, 1.0]))
TABLE = ((1.0, -1.5, 0.7), (2.5, 1.5, 0.75))


def error(plane_4, T_world_cam):
    """Meters and degrees by which a floor is off the true one."""
    true = floor_of_mount(T_world_cam)
    return abs(plane_4[3] - true[3]), np.degrees(np.arccos(min(1.0, plane_4[:3] @ true[:3])))


def walk(finder, views, boxes=WALLS, mount=None, **how):
    """What the finder says of successive views."""
    return [finder.find(look(T, boxes, 1.0, n, **how), SubmapPose(T_MAP_WORLD @ T), mount)
            for n, T in enumerate(views)]


@pytest.mark.parametrize(("view", "most_m"), [
    ({"height_m": 0.4}, 0.01), ({"height_m": 1.3, "pitch_deg": 15.0}, 0.02),
    ({"height_m": 1.3, "roll_deg": 8.0}, 0.08),  # sees a strip three meters away
    ({"height_m": 1.0, "pitch_deg": 50.0}, 0.01)])
def test_one_view_of_the_floor_is_fitted(view, most_m):
    T = camera_at(**view)
    off_m, off_deg = error(fit_floor(sampled(look(T, WALLS, 1.0).depth_m, CAMERA, SENSOR, 5.0)), T)
    assert off_m < most_m and off_deg < 1.5


def test_a_wall_or_a_ceiling_is_no_floor():
    above = [((-9.0, -9.0, 2.4), (9.0, 9.0, 2.5))]
    for T, boxes in ((camera_at(3.0), WALLS), (camera_at(pitch_deg=-40.0), above)):
        seen = sampled(look(T, boxes, 1.0, floor=False).depth_m, CAMERA, SENSOR, 5.0)
        assert fit_floor(seen) is None


def test_a_fitted_floor_needs_keyframes_that_agree_and_stays_out_of_sight():
    finder = FloorFinder(SENSOR, 5.0)
    views = [camera_at(0.1 * n, height_m=1.2, pitch_deg=12.0 + n, yaw_deg=5.0 * n)
             for n in range(6)]
    found = walk(finder, views)
    assert found[:2] == [None, None] and finder.problem == ""
    assert all(error(f, T)[0] < 0.03 and error(f, T)[1] < 1.0
               for f, T in zip(found[2:], views[2:], strict=True))
    up = camera_at(0.5, height_m=1.1, pitch_deg=-35.0, roll_deg=4.0)
    (unseen,) = walk(finder, [up])
    assert error(unseen, up)[0] < 0.05 and error(unseen, up)[1] < 1.5


def test_the_mount_gives_the_floor_at_once_also_where_it_is_not_seen():
    T = camera_at(3.2, height_m=0.5)
    (found,) = walk(FloorFinder(SENSOR, 5.0), [T], mount=T)
    assert error(found, T) < (0.03, 1.0)


def test_depth_makes_the_mount_exact():
    T = camera_at(height_m=0.5, pitch_deg=12.0)
    nodding = camera_at(height_m=0.49, pitch_deg=13.0)  # a bump in the floor
    (found,) = walk(FloorFinder(SENSOR, 5.0), [nodding], mount=T)
    assert error(found, nodding)[1] < 0.4 < error(floor_of_mount(T), nodding)[1]


def test_a_mount_that_depth_contradicts_is_told_and_not_believed():
    finder = FloorFinder(SENSOR, 5.0)
    views = [camera_at(0.1 * n, height_m=0.6, pitch_deg=15.0) for n in range(4)]
    on_axle = camera_at(height_m=0.45, pitch_deg=15.0)  # its base is not on the floor
    found = walk(finder, views, mount=on_axle)
    assert "0.60 m below" in finder.problem and "0.45 m" in finder.problem
    assert error(found[-1], views[-1])[0] < 0.03


def test_a_base_that_is_the_camera_is_no_mount():
    camera_link = camera_at(height_m=0.0)
    found = walk(FloorFinder(SENSOR, 5.0), [camera_at(height_m=0.5)], mount=camera_link)
    assert found == [None]


def test_a_table_is_left_for_the_floor_below_it():
    finder = FloorFinder(SENSOR, 5.0)
    over = [camera_at(0.5 + 0.05 * n, height_m=1.3, pitch_deg=40.0) for n in range(4)]
    found = walk(finder, over, [TABLE], floor=False)
    assert found[-1] is not None and found[-1][3] == pytest.approx(0.55, abs=0.03)
    back = [camera_at(-1.0 + 0.1 * n, height_m=1.3, pitch_deg=25.0) for n in range(4)]
    found = walk(finder, back, [TABLE])
    assert found[-1][3] == pytest.approx(1.3, abs=0.03)


def test_no_floor_is_told_after_a_while_and_forgotten_with_the_map(caplog):
    finder = FloorFinder(SENSOR, 5.0)
    views = [camera_at(3.0 + 0.01 * n, height_m=1.2, pitch_deg=-20.0) for n in range(9)]
    with caplog.at_level("INFO"):
        assert walk(finder, views, floor=False) == [None] * 9
    assert "unknown" in finder.problem and "base_frame -> camera" in finder.problem
    assert [record.levelname for record in caplog.records] == ["INFO"]
    finder.clear()
    assert finder.problem == ""


def test_the_floor_follows_a_correction_of_the_map():
    finder = FloorFinder(SENSOR, 5.0)
    views = [camera_at(0.1 * n, height_m=1.2, pitch_deg=15.0) for n in range(4)]
    walk(finder, views)
    motion = exp_se3(np.array([3.0, 1.0, -0.7, 0.3, -0.2, 2.0]))
    finder.correct({0: SubmapMotion(motion, 1)})
    up = camera_at(0.3, height_m=1.2, pitch_deg=-30.0)
    found = finder.find(look(up, WALLS), SubmapPose(motion @ T_MAP_WORLD @ up, submap=1))
    assert error(found, up)[0] < 0.03
    assert finder.find(look(up, WALLS), SubmapPose(T_MAP_WORLD @ up, submap=2)) is None
