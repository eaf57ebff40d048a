"""The readout time of the shutter is measured."""

import numpy as np
import pytest
from helpers.tracks import CAMERA, SENSOR, scene

from ace_slam_ros.core.geometry.se3 import (
    exp_se3,
    invert_pose,
    transform_points,
)
from ace_slam_ros.core.odometry.pose_optimization import optimize_pose
from ace_slam_ros.core.odometry.residuals import (
    Sightings,
)
from ace_slam_ros.core.odometry.rolling_shutter import RollingShutter, sweep


@pytest.mark.parametrize("readout_s", [0.0, 0.02])
def test_the_readout_time_of_the_shutter_is_measured(readout_s):
    rng = np.random.default_rng(4)
    shutter = RollingShutter(-1.0)
    for _ in range(40):
        points, _ = scene(rng)
        twist = rng.normal(0, (0.3, 0.3, 0.3, 0.4, 0.4, 0.4))
        pixels = CAMERA.project(points)
        for _ in range(3):  # the row a point falls on tells when it is seen
            late = (readout_s * pixels[:, 1] / CAMERA.height)[:, None]
            moved = np.stack([transform_points(exp_se3(-t[0] * twist), p[None])[0]
                              for t, p in zip(late, points, strict=True)])
            pixels = CAMERA.project(moved)
        pixels += rng.normal(0, 0.3, pixels.shape)
        swept = sweep(points, pixels, twist, CAMERA)
        still = pixels + shutter.readout_s * swept
        seen = Sightings(points, still, np.full(len(points), np.nan))
        found = optimize_pose(np.eye(4), seen, CAMERA, SENSOR, 25)
        assert found is not None and len(found.agrees_n) == len(points)
        in_cam = transform_points(invert_pose(found.aligned.T_map_cam), points)
        learned = found.r_2n, found.J_62n
        shutter.observe(sweep(in_cam, pixels, twist, CAMERA), *learned)
    assert abs(shutter.readout_s - readout_s) < 0.002
    given = RollingShutter(0.01)
    given.observe(swept, *learned)
    assert given.readout_s == 0.01
