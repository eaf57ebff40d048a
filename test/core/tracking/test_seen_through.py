"""What a view says of points; the compiled loop and its twin."""

import numpy as np

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, transform_points
from ace_slam_ros.core.tracking import seen_through as module
from ace_slam_ros.core.tracking.seen_through import (
    HIDDEN,
    OUT_OF_VIEW,
    THERE,
    THROUGH,
    seen_through,
)

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
SENSOR = SensorConfig()


def test_the_compiled_loop_does_as_its_twin(monkeypatch):
    rng = np.random.default_rng(34)
    nearest = rng.uniform(0.5, 4.0, (120, 160)).astype(np.float32)
    nearest[::5, ::3] = 0.0
    points, T = rng.uniform(-4.0, 4.0, (5000, 3)), exp_se3(rng.normal(size=6) * 0.3)
    found = seen_through(points, T, nearest, CAMERA, 4, SENSOR)
    monkeypatch.setattr(module, "AVAILABLE", False)
    assert np.array_equal(found, seen_through(points, T, nearest, CAMERA, 4, SENSOR))
    assert all((found == says).sum() > 10 for says in (OUT_OF_VIEW, HIDDEN, THROUGH, THERE))


def test_points_along_a_ray_are_seen_through_up_to_the_surface():
    T_map_cam = exp_se3(np.array([0.4, -0.2, 0.1, 0.0, 0.2, 0.1]))
    depths = np.array([-1.0, 0.1, 1.0, 2.9, 2.99, 3.0, 3.05, 3.5])
    ray = CAMERA.unproject(np.array([[320.0, 240.0]]), np.ones(1))[0]
    points = transform_points(T_map_cam, depths[:, None] * ray)
    wall = np.full((120, 160), 3.0, np.float32)
    says = seen_through(points, invert_pose(T_map_cam), wall, CAMERA, 4, SENSOR)
    assert says.tolist() == [OUT_OF_VIEW] * 2 + [THROUGH] + [THERE] * 4 + [HIDDEN]
    unknown = seen_through(points, invert_pose(T_map_cam), 0 * wall, CAMERA, 4, SENSOR)
    assert set(unknown.tolist()) == {OUT_OF_VIEW, HIDDEN}
