"""The known-pose evaluation benchmarks share: a true head is perfect, a false one is not."""

from types import SimpleNamespace

import numpy as np
import pytest
from lib.known_poses import (
    PosedFeatures,
    even_odd,
    first_last,
    recorded_frames,
    relocalize,
    rendered_frames,
)

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, transform_points
from ace_slam_ros.io.open_source import open_source

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)


class TrueHead:
    """Knows every landmark; a landmark's number is its descriptor's first entry."""

    def __init__(self, points_M3, offset_m=0.0):
        self.points_M3, self.offset_m = points_M3, offset_m

    def predict(self, descriptors_ND):
        points = self.points_M3[np.rint(descriptors_ND[:, 0]).astype(int)] + self.offset_m
        return Predictions(points[:, None].astype(np.float32),
                           np.full((len(points), 1), 0.01, np.float32))


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    points_M3 = rng.uniform((-1, -1, 1.5), (1, 1, 3), (300, 3))
    views = []
    for k in range(10):
        T = exp_se3(rng.normal(size=6) * 0.1)
        points = transform_points(invert_pose(T), points_M3)
        descriptors = np.zeros((300, 4), np.float32)
        descriptors[:, 0] = np.arange(300)
        views.append(PosedFeatures(k, T, Features(
            descriptors, CAMERA.project(points).astype(np.float32), points.astype(np.float32)),
            CAMERA))
    return points_M3, views


def test_splits_are_complete_and_disjoint(world):
    _, views = world
    for learned, queried in (even_odd(views), first_last(views)):
        assert {v.stamp_ns for v in learned} | {v.stamp_ns for v in queried} == set(range(10))
        assert len(learned) + len(queried) == 10
    assert [v.stamp_ns for v in even_odd(views)[1]] == [1, 3, 5, 7, 9]
    assert [v.stamp_ns for v in first_last(views)[1]] == [6, 7, 8, 9]


def test_a_true_head_relocalizes_and_a_shifted_one_does_not(world):
    points_M3, views = world
    learned, queried = even_odd(views)
    seen = []

    def learn(keyframes):
        seen.extend(keyframes)
        return TrueHead(points_M3)

    found = relocalize(learn, learned, queried, SlamConfig())
    assert [k.stamp_ns for k in seen] == [0, 2, 4, 6, 8]
    assert found.error_m_N.max() < 0.01 and found.error_deg_N.max() < 0.5
    figures = found.figures()
    assert figures["recall_5cm_5deg"] == 1.0 and figures["coordinates_within_5cm"] == 1.0
    assert figures["inlier_ratio"] > 0.95 and figures["queries"] == 5
    shifted = relocalize(
        lambda _: TrueHead(points_M3, offset_m=0.5), learned, queried, SlamConfig()).figures()
    assert shifted["recall_10cm_5deg"] == 0.0 and shifted["coordinates_within_5cm"] == 0.0
    assert shifted["median_cm"] == pytest.approx(50 * np.sqrt(3), rel=0.05)


def test_no_pose_counts_as_an_error(world):
    _, views = world
    learned, queried = even_odd(views)
    rng = np.random.default_rng(1)
    figures = relocalize(lambda _: TrueHead(rng.uniform(-5, 5, (300, 3))), learned, queried,
                         SlamConfig()).figures()
    assert figures["recall_10cm_5deg"] == 0.0 and figures["median_cm"] is None
    with pytest.raises(ValueError, match="needed"):
        relocalize(lambda _: TrueHead(rng), [], queried, SlamConfig())


def test_rendered_frames_are_every_nth_with_their_poses():
    class World:
        default_frames = 7

        def frames(self, count, step):
            for number in range(0, count, step):
                yield SimpleNamespace(frame=f"frame {number}", T_world_cam_44=number * np.eye(4))

    found = list(rendered_frames(World(), every=3))
    assert [f.frame for f in found] == ["frame 0", "frame 3", "frame 6"]
    assert found[1].T_map_cam[0, 0] == 3
    assert len(list(rendered_frames(World(), every=3, count=4))) == 2


def test_recorded_frames_are_every_nth_with_true_poses(tum_fr1_xyz):
    frames = list(recorded_frames(tum_fr1_xyz, every=300))
    source = open_source(tum_fr1_xyz)
    assert 2 <= len(frames) <= 3 and frames[1].frame.stamp_ns == source.stamps_ns[300]
    truth, _ = source.groundtruth.at(source.stamps_ns[300:301])
    assert np.allclose(frames[1].T_map_cam, truth[0])
