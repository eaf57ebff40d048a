"""Small sequences of noise, written in milliseconds."""

import numpy as np
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.trajectory import Trajectory

CAMERA = Camera(24, 16, 20.0, 21.0, 11.5, 7.5)
LENS = Camera(24, 16, 20.0, 21.0, 11.5, 7.5, (0.05, -0.02, 0.001, 0.002, 0.0))
SECOND = 1_000_000_000


def make_frames(stamps_ns, camera=CAMERA, seed=0):
    rng = np.random.default_rng(seed)
    size = (camera.height, camera.width)
    for stamp in stamps_ns:
        depth = rng.integers(1500, 20000, size) * (rng.random(size) < 0.8)
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        yield Frame(int(stamp), image, (depth / 5000).astype(np.float32), camera)


def make_truth(stamps_ns):
    poses = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
    poses[:, 0, 3] = np.arange(len(stamps_ns)) * 0.1
    turns = Rotation.from_rotvec(np.outer(np.arange(len(stamps_ns)), [0.01, -0.02, 0.03]))
    poses[:, :3, :3] = turns.as_matrix()
    return Trajectory(np.array(stamps_ns, np.int64), poses)


def steps(count, start=1_305_031_102 * SECOND, period=33_333_333):
    return [start + i * period for i in range(count)]


def assert_same_frames(one, two, depth_quantum_m=0.0):
    one, two = list(one), list(two)
    assert [f.stamp_ns for f in one] == [f.stamp_ns for f in two]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_allclose(
            a.depth_m, b.depth_m, rtol=0, atol=0.5 * depth_quantum_m + 1e-6)
