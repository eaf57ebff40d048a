"""Obstacle clouds of a rendered world against its exact depth."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ace_slam_ros.core.config.navigation import ObstacleConfig
from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import transform_points
from ace_slam_ros.core.navigation.obstacle_cloud import floor_of_base, obstacle_cloud

Points = npt.NDArray[np.float64]
#: What must not be an obstacle, and what must be one: heights above the floor, range, meters.
FLOOR_M, ABOVE_M, NEAR_M = 0.05, 0.08, 3.0
#: Something is there when a point of the cloud is so near, and a point is wrong when nothing
#: above the floor is.
THERE_M, WRONG_M = 0.06, 0.15
#: Each so many pixels of the truth are compared.
_STEP = 4


@dataclass
class ObstacleTally:
    """What clouds of many frames missed and made up.

    Attributes:
        clouds, points: how many there were.
        floor_points: points nearer to the floor than `FLOOR_M`.
        wrong_points: points farther than `WRONG_M` from all that stands on the floor.
        truth, missed: pixels of what must be there, and those without a point within `THERE_M`.
        unmeasured: pixels of `missed` without depth: holes and shadows of the sensor.
        largest_missed_m2: the largest connected area with depth but without a point.
        ms: processor time of each cloud.
    """

    clouds: int = 0
    points: int = 0
    floor_points: int = 0
    wrong_points: int = 0
    truth: int = 0
    missed: int = 0
    unmeasured: int = 0
    largest_missed_m2: float = 0.0
    ms: list[float] = field(default_factory=list)

    def add(
        self, frame: Frame, exact_depth_m: npt.NDArray[np.float32], T_world_cam: Points
    ) -> None:
        """Compare one frame; the world's floor is z = 0.

        Args:
            frame: with the depth that a sensor measures.
            exact_depth_m: (H, W) what there is.
            T_world_cam: (4, 4) true pose, taken for that on a robot.
        """
        config, sensor = ObstacleConfig(), SensorConfig()
        floor_4 = floor_of_base(T_world_cam, 0.0)
        assert floor_4 is not None and frame.depth_m is not None
        started_s = time.thread_time()
        cloud = obstacle_cloud(frame.depth_m, frame.camera, T_world_cam, floor_4, sensor, config)
        self.ms.append(1e3 * (time.thread_time() - started_s))
        exact, measured = (d[::_STEP, ::_STEP] for d in (exact_depth_m, frame.depth_m))
        v, u = np.indices(exact.shape) * _STEP
        points = transform_points(T_world_cam, frame.camera.unproject(
            np.stack([u.ravel(), v.ravel()], 1).astype(float), exact.ravel().astype(float)))
        range_m = np.linalg.norm(points - T_world_cam[:3, 3], axis=1)
        seen = exact.ravel() > 0
        must = (seen & (points[:, 2] > ABOVE_M) & (points[:, 2] < config.high_m)
                & (range_m < NEAR_M) & (exact.ravel() > sensor.min_depth_m))
        found = cloud.obstacles_N3.astype(float)
        self.clouds, self.points = self.clouds + 1, self.points + len(found)
        self.floor_points += int((found[:, 2] < FLOOR_M).sum())
        stands = points[seen & (points[:, 2] > FLOOR_M)]
        if len(found):
            self.wrong_points += int((cKDTree(stands).query(found)[0] > WRONG_M).sum()
                                     if len(stands) else len(found))
        gone = must.copy()
        if len(found) and must.any():
            gone[must] = cKDTree(found).query(points[must])[0] > THERE_M
        self.truth, self.missed = self.truth + int(must.sum()), self.missed + int(gone.sum())
        with_depth = gone.reshape(exact.shape) & (measured > 0)
        self.unmeasured += int(gone.sum()) - int(with_depth.sum())
        area_m2 = (_STEP * exact) ** 2 / (frame.camera.fx * frame.camera.fy)
        count, label = cv2.connectedComponents(with_depth.astype(np.uint8), connectivity=8)
        areas = np.bincount(label.ravel(), area_m2.ravel(), minlength=count)[1:]
        self.largest_missed_m2 = max(self.largest_missed_m2, float(areas.max(initial=0.0)))

    def figures(self) -> dict[str, Any]:
        """Return shares and times."""
        return {
            "clouds": self.clouds, "points": self.points,
            "floor_points": self.floor_points, "wrong": self.wrong_points / max(self.points, 1),
            "there": 1.0 - self.missed / max(self.truth, 1),
            "there_of_measured": 1.0 - (self.missed - self.unmeasured) / max(self.truth, 1),
            "largest_missed_m2": self.largest_missed_m2,
            "p50_ms": float(np.median(self.ms)), "p95_ms": float(np.percentile(self.ms, 95))}
