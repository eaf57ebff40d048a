"""Points where earlier views saw through are movers; covered, unknown and static ones are not."""

import numpy as np

from ace_slam_ros.core.camera import Camera
from ace_slam_ros.core.config import SensorConfig
from ace_slam_ros.core.frame import Frame
from ace_slam_ros.core.geometry import exp_se3, transform_points
from ace_slam_ros.core.keyframe import Features
from ace_slam_ros.core.seen_through import SeenThrough

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
POSE = exp_se3(np.array([0.4, -0.2, 0.1, 0.0, 0.2, 0.1]))


def frame(depth_m, stamp_ns=0):
    return Frame(stamp_ns, np.zeros((480, 640), np.uint8), depth_m.astype(np.float32), CAMERA)


def at(u, v, depth_m):
    """The map point at a pixel and depth."""
    return transform_points(POSE, CAMERA.unproject(np.array([[u, v]]), np.array([depth_m])))[0]


def test_a_point_before_a_known_background_is_a_mover():
    seen = SeenThrough(SensorConfig())
    depth = np.full((480, 640), 3.0)
    depth[:, :100] = 0.0  # unknown there
    depth[:, 540:] = 1.0  # something near there
    seen.add(frame(depth), POSE)
    points = np.array([
        at(320, 240, 1.5),  # in the air
        at(320, 240, 3.0),  # on the wall
        at(320, 240, 2.9),  # on the wall, within what noise and slant explain
        at(40, 240, 1.5),   # before nothing known
        at(600, 240, 2.0),  # behind the near thing
        at(320, 240, 4.0),  # behind the wall
        [np.nan] * 3,
    ])
    assert seen.through(points).tolist() == [True, *[False] * 6]
    seen.clear()
    assert not seen.through(points).any()


def test_a_keyframe_keeps_what_is_static():
    seen = SeenThrough(SensorConfig())
    seen.add(frame(np.full((480, 640), 3.0)), POSE)
    rng = np.random.default_rng(0)
    pixels = rng.uniform((20, 20), (620, 460), (100, 2)).astype(np.float32)
    depth = np.where(np.arange(100) < 30, 1.2, 3.0)
    features = Features(np.eye(100, dtype=np.float32), pixels,
                        CAMERA.unproject(pixels, depth).astype(np.float32))
    kept = seen.without_movers(features, POSE)
    assert len(kept) == 70 and kept.descriptors_ND[:, 30:].sum() == 70


def test_views_are_spread_over_time_and_bounded():
    seen = SeenThrough(SensorConfig())
    air = at(320, 240, 1.5)[None]
    seen.add(frame(np.full((480, 640), 1.4)), POSE)
    seen.add(frame(np.full((480, 640), 3.0), 100_000_000), POSE)  # too soon
    assert not seen.through(air).any()
    seen.add(frame(np.full((480, 640), 3.0), 250_000_000), POSE)
    assert seen.through(air).all()
    for n in range(40):
        seen.add(frame(np.full((480, 640), 1.4), (n + 2) * 250_000_000), POSE)
    assert not seen.through(air).any()
