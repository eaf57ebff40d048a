"""Obstacles of one depth image: points above the floor, and ends of rays that meet none.

Made from the newest frame alone, whatever the map knows: what stands in the way now counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config.navigation import ObstacleConfig
from ..config.sections import SensorConfig
from ..data.camera import Camera
from ..geometry.se3 import R_BODY_OPTICAL_33, make_pose
from ..runtime.compiled import AVAILABLE
from .surface_points import surface_points, surface_points_twin
from .voxels import thin, thin_twin

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float32Image, Float64Array, UInt8Image

#: So many pixels are looked at, at most about; others show the same surfaces.
_SAMPLES = 80_000
#: Of the samples that a surface across the view gives to a voxel, one of so many must be there,
#: so that slanted and noisy surfaces are; but no more than these.
_ONE_OF, _MOST = 10.0, 5.0
#: Ends of free rays are kept at this distance: costmaps have cells of 5 cm, rays are lines.
_FREE_VOXEL_M = 0.1
#: A picture with less depth shows nothing: a covered camera is no free road.
LEAST_MEASURED = 0.02
#: A camera that is less above the floor has another floor than it was told.
_LEAST_HEIGHT_M = 0.05


@dataclass(frozen=True)
class ObstacleCloud:
    """What a depth image says of the robot's surroundings, in the base frame, meters.

    Attributes:
        obstacles_N3: (N, 3) float32, one point for each voxel that something occupies.
        free_M3: (M, 3) float32, ends of rays that meet no obstacle: floor, what is too high or
            too far.
        measured: share of the pixels looked at whose depth is one surface.
    """

    obstacles_N3: Float32Array
    free_M3: Float32Array
    measured: float

    @property
    def is_blind(self) -> bool:
        """Whether so little was measured that no obstacle does not mean that there is none."""
        return self.measured < LEAST_MEASURED


def floor_of_base(
    T_base_cam: Float64Array, floor_z_m: float
) -> Float64Array | None:
    """Return the floor that a known camera mount gives, None where it cannot be one.

    Args:
        T_base_cam: (4, 4) pose of the optical frame in the base.
        floor_z_m: height of the floor in the base frame.

    Returns:
        (4,) plane n, d in the optical frame, n . x = d on the floor and n down: as far is the
        camera above it. None when the camera would sit on or in that floor, as it does where the
        base is the camera's own frame.
    """
    above_m = T_base_cam[2, 3] - floor_z_m
    return None if above_m < _LEAST_HEIGHT_M else np.append(-T_base_cam[2, :3], above_m)


def obstacle_cloud(
    depth_m: Float32Image, camera: Camera, T_base_cam: Float64Array, floor_4: Float64Array,
    sensor: SensorConfig, config: ObstacleConfig, shown_HW: UInt8Image | None = None,
) -> ObstacleCloud:
    """Cut obstacles out of a depth image.

    A pixel counts with the mean of its 3x3 window, if enough of that agrees, so that single wrong
    pixels and edges do not; a voxel counts where it holds its share of what a surface at that
    depth gives. Steps down are not found: what is below the floor is an end of a free ray.

    Args:
        depth_m: (H, W) float32 meters, 0 where there is none; undistorted.
        camera: its intrinsics.
        T_base_cam: (4, 4) pose of the optical frame in the base.
        floor_4: plane of the floor in the optical frame, see `floor_of_base`.
        sensor: range and noise of the depth.
        config: what counts.
        shown_HW: (H, W) uint8, 0 where the robot itself is seen; None = nowhere.
    """
    return _cloud(depth_m, camera, T_base_cam, floor_4, sensor, config, shown_HW, AVAILABLE)


def obstacle_cloud_twin(
    depth_m: Float32Image, camera: Camera, T_base_cam: Float64Array, floor_4: Float64Array,
    sensor: SensorConfig, config: ObstacleConfig, shown_HW: UInt8Image | None = None,
) -> ObstacleCloud:
    """Do as `obstacle_cloud`, in NumPy."""
    return _cloud(depth_m, camera, T_base_cam, floor_4, sensor, config, shown_HW, False)


def warm_up_obstacles() -> None:
    """Run the loops once, so that the first cloud of a camera waits for nothing."""
    camera = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
    T_base_cam = make_pose(R_BODY_OPTICAL_33, np.array([0.0, 0.0, 0.5]))
    for shown_HW in (None, np.ones((48, 64), np.uint8)):
        obstacle_cloud(np.ones((48, 64), np.float32), camera, T_base_cam,
                       np.array([0.0, 1.0, 0.0, 0.5]), SensorConfig(), ObstacleConfig(), shown_HW)


def _cloud(
    depth_m: Float32Image, camera: Camera, T_base_cam: Float64Array, floor_4: Float64Array,
    sensor: SensorConfig, config: ObstacleConfig, shown_HW: UInt8Image | None, compiled: bool,
) -> ObstacleCloud:
    stride = max(1, round(math.sqrt(depth_m.size / _SAMPLES)))
    points_of, thinned = (
        (surface_points, thin) if compiled else (surface_points_twin, thin_twin))
    points_n3, looked = points_of(depth_m, shown_HW, stride, camera, sensor)
    z_n = points_n3[:, 2]
    base_n3 = (points_n3 @ T_base_cam[:3, :3].astype(np.float32).T
               + T_base_cam[:3, 3].astype(np.float32))
    height_n = np.float32(floor_4[3]) - points_n3 @ floor_4[:3].astype(np.float32)
    near_n = np.einsum("ni,ni->n", points_n3, points_n3) <= config.range_m**2
    in_way_n = near_n & (height_n > config.low_m) & (height_n <= config.high_m)
    samples_n = camera.fx * camera.fy * (config.voxel_m / (stride * z_n)) ** 2
    weight_n = np.clip(_ONE_OF / samples_n, 1.0 / _MOST, 1.0).astype(np.float32)
    free_n3 = base_n3[~in_way_n]
    return ObstacleCloud(
        thinned(base_n3[in_way_n], weight_n[in_way_n], config.voxel_m),
        thinned(free_n3, np.ones(len(free_n3), np.float32), _FREE_VOXEL_M),
        len(points_n3) / max(looked, 1))
