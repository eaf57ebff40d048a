"""A keyframe of the tracker: image, corners, their depth, and where later keyframes saw them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..geometry.se3 import transform_points
from ..runtime.compiled import AVAILABLE, kernel
from .flow.corners import CornerMotion
from .residuals import NEAREST_M
from .rolling_shutter import sweep

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float64Array, UInt8Image
    from .surface_alignment import Surface


@dataclass(frozen=True)
class Track:
    """A keyframe's corners in another keyframe: as in `Followed`, and meters (m,)."""

    index_m: npt.NDArray[np.int64]
    pixels_m2: Float32Array
    misfit_m3: Float32Array
    depth_m: Float32Array


@dataclass(frozen=True)
class Placed:
    """Corners of a keyframe as an alignment needs them.

    Attributes:
        points_map_n3: (n, 3) map points, meters.
        swept_n2: (n, 2) what `LocalKeyframe.sweep_n2` says.
        unsure_map_n3: (n, 3) what `LocalKeyframe.unsure_n3` says.
    """

    points_map_n3: Float64Array
    swept_n2: Float64Array
    unsure_map_n3: Float64Array


@dataclass
class LocalKeyframe:
    """An image with depth at its corners.

    Attributes:
        id: keyframe id, shared with the mapper.
        gray: (H, W) uint8 image.
        camera: intrinsics.
        pixels_n2: (n, 2) float32 corners as seen.
        measured_m_n: (n,) float64 depth measured at the corners, meters.
        inverse_n: (n,) float64 inverse depth as known from all keyframes, 1/m.
        narrowed_n: (n,) its standard deviation over that of one measurement.
        T_map_cam: pose at the stamp, in the frame of its submap.
        covariance_66: of the pose, with that of the keyframes it was refined against.
        twist_6: velocity of the camera in its own frame.
        median_depth_m: median of the points' depth.
        surface: what its depth shows, for frames without texture; None when that is not wanted.
        stands_n: (n,) bool, corners that are followed: the others were of something that moved.
        corner_motion: what became of the corners in later frames.
        submap: number of the submap that the pose is in.
        T_mapped: pose that the mapper knows; None when it has not got the keyframe.
        tracks: by id of the other keyframe.
    """

    id: int
    gray: UInt8Image
    camera: Camera
    pixels_n2: Float32Array
    measured_m_n: Float64Array
    inverse_n: Float64Array
    T_map_cam: Float64Array
    covariance_66: Float64Array
    twist_6: Float64Array
    median_depth_m: float
    surface: Surface | None = None
    submap: int = 0
    stands_n: npt.NDArray[np.bool_] = field(init=False)
    narrowed_n: Float64Array = field(init=False)
    corner_motion: CornerMotion = field(init=False)
    T_mapped: Float64Array | None = None
    tracks: dict[int, Track] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stands_n = np.ones(len(self.pixels_n2), bool)
        self.narrowed_n = np.ones(len(self.pixels_n2))
        self.corner_motion = CornerMotion.of(
            self.camera.unproject(self.pixels_n2.astype(np.float64), self.measured_m_n))

    def sweep_n2(self) -> Float64Array:
        """Image motion of the corners, per second of readout, back to the stamp."""
        pixels = self.pixels_n2.astype(np.float64)
        return sweep(self.camera.unproject(pixels, 1.0 / self.inverse_n), pixels, self.twist_6,
                     self.camera)

    def rays_n3(self, readout_s: float) -> Float64Array:
        """Corners (n, 3) at depth 1 m in the camera frame at the stamp."""
        pixels = self.pixels_n2.astype(np.float64)
        if readout_s > 0.0:
            pixels = pixels + readout_s * self.sweep_n2()
        return self.camera.unproject(pixels, np.ones(len(pixels)))

    def unsure_n3(self, sensor: SensorConfig) -> Float64Array:
        """Return one standard deviation (n, 3) of the points, along their rays, in map axes."""
        rays = self.camera.unproject(self.pixels_n2.astype(np.float64),
                                     sensor.depth_sigma_m(self.measured_m_n) * self.narrowed_n)
        return np.asarray(rays @ self.T_map_cam[:3, :3].T)

    def placed(self, sensor: SensorConfig, readout_s: float) -> Placed:
        """Return what an alignment needs of all corners."""
        if not AVAILABLE:
            return self.placed_twin(sensor, readout_s)
        count = len(self.pixels_n2)
        placed = Placed(np.empty((count, 3)), np.empty((count, 2)), np.empty((count, 3)))
        camera = self.camera
        view = np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.height])
        _place(self.pixels_n2, self.inverse_n,
               sensor.depth_sigma_m(self.measured_m_n) * self.narrowed_n, self.T_map_cam,
               self.twist_6, view, readout_s, placed.points_map_n3, placed.swept_n2,
               placed.unsure_map_n3)
        return placed

    def placed_twin(self, sensor: SensorConfig, readout_s: float) -> Placed:
        """Do as `placed`, in NumPy."""
        points = self.rays_n3(readout_s) / self.inverse_n[:, None]
        return Placed(transform_points(self.T_map_cam, points), self.sweep_n2(),
                      self.unsure_n3(sensor))


@kernel
def _place(
    pixels_n2: Float32Array, inverse_n: Float64Array, sigma_n: Float64Array,
    T_44: Float64Array, twist_6: Float64Array, view_5: Float64Array, readout_s: float,
    points_n3: Float64Array, swept_n2: Float64Array, unsure_n3: Float64Array,
) -> None:
    fx, fy = view_5[0], view_5[1]
    vx, vy, vz, wx, wy, wz = (
        twist_6[0], twist_6[1], twist_6[2], twist_6[3], twist_6[4], twist_6[5])
    for n in range(len(pixels_n2)):
        u, v, z = float(pixels_n2[n, 0]), float(pixels_n2[n, 1]), 1.0 / inverse_n[n]
        right, down = (u - view_5[2]) / fx, (v - view_5[3]) / fy
        x, y, near = right * z, down * z, max(z, NEAREST_M)
        late, approach = v / view_5[4] / near, (vz + wx * y - wy * x) / near
        swept_n2[n, 0] = late * fx * (vx + wy * z - wz * y - x * approach)
        swept_n2[n, 1] = late * fy * (vy + wz * x - wx * z - y * approach)
        x += readout_s * swept_n2[n, 0] / fx * z
        y += readout_s * swept_n2[n, 1] / fy * z
        for i in range(3):
            points_n3[n, i] = T_44[i, 0] * x + T_44[i, 1] * y + T_44[i, 2] * z + T_44[i, 3]
            unsure_n3[n, i] = sigma_n[n] * (
                T_44[i, 0] * right + T_44[i, 1] * down + T_44[i, 2])


def expect(
    points_n3: Float64Array, depth_m_n: Float64Array, T_cam_map: Float64Array,
    T_map_host: Float64Array, camera: Camera, host_camera: Camera,
) -> tuple[Float32Array, Float32Array]:
    """Tell where corners of a keyframe should be seen, and how they should look there.

    What is around a corner counts as a plane that faces the keyframe.

    Args:
        points_n3: (n, 3) map points of the corners, meters.
        depth_m_n: (n,) their depth in the keyframe.
        T_cam_map: (4, 4) where they are seen from.
        T_map_host: (4, 4) pose of the keyframe.
        camera, host_camera: intrinsics of both.

    Returns:
        (n, 2) float32 pixels, -1 for points behind the camera; (n, 2, 2) float32, from steps
        around them to steps in the keyframe's image.
    """
    R = np.ascontiguousarray((T_cam_map[:3, :3] @ T_map_host[:3, :3])[:, :2])
    R /= (host_camera.fx, host_camera.fy)
    pinhole = camera.pinhole_4
    if not AVAILABLE:
        return expect_twin(points_n3, depth_m_n, T_cam_map, R, pinhole)
    guess_n2 = np.empty((len(points_n3), 2), np.float32)
    back_n22 = np.empty((len(points_n3), 2, 2), np.float32)
    _expect(points_n3, depth_m_n, T_cam_map, R, pinhole, guess_n2, back_n22)
    return guess_n2, back_n22


@kernel
def _expect(
    points_n3: Float64Array, depth_m_n: Float64Array, T_cam_map: Float64Array,
    R_32: Float64Array, pinhole_4: Float64Array, guess_n2: Float32Array, back_n22: Float32Array,
) -> None:
    fx, fy, cx, cy = pinhole_4[0], pinhole_4[1], pinhole_4[2], pinhole_4[3]
    for n in range(len(points_n3)):
        p = points_n3[n]
        x = T_cam_map[0, 0] * p[0] + T_cam_map[0, 1] * p[1] + T_cam_map[0, 2] * p[2]
        y = T_cam_map[1, 0] * p[0] + T_cam_map[1, 1] * p[1] + T_cam_map[1, 2] * p[2]
        z = T_cam_map[2, 0] * p[0] + T_cam_map[2, 1] * p[1] + T_cam_map[2, 2] * p[2]
        x, y, z = x + T_cam_map[0, 3], y + T_cam_map[1, 3], z + T_cam_map[2, 3]
        guess_n2[n] = -1.0
        back_n22[n] = np.inf
        if not z > NEAREST_M:
            continue
        x, y, scale = x / z, y / z, depth_m_n[n] / z
        guess_n2[n, 0], guess_n2[n, 1] = fx * x + cx, fy * y + cy
        a = fx * scale * (R_32[0, 0] - x * R_32[2, 0])
        b = fx * scale * (R_32[0, 1] - x * R_32[2, 1])
        c = fy * scale * (R_32[1, 0] - y * R_32[2, 0])
        d = fy * scale * (R_32[1, 1] - y * R_32[2, 1])
        determinant = a * d - b * c
        if determinant > 0.0:
            back_n22[n, 0, 0], back_n22[n, 0, 1] = d / determinant, -b / determinant
            back_n22[n, 1, 0], back_n22[n, 1, 1] = -c / determinant, a / determinant


def expect_twin(
    points_n3: Float64Array, depth_m_n: Float64Array, T_cam_map: Float64Array,
    R_32: Float64Array, pinhole_4: Float64Array,
) -> tuple[Float32Array, Float32Array]:
    """Do as the kernel behind `expect`, in NumPy."""
    in_cam = transform_points(T_cam_map, points_n3)
    ahead = in_cam[:, 2] > NEAREST_M
    z = np.where(ahead, in_cam[:, 2], 1.0)
    at = in_cam[:, :2] / z[:, None]
    guess = at * pinhole_4[:2] + pinhole_4[2:]
    forth = (pinhole_4[:2, None] * (depth_m_n / z)[:, None, None]
             * (R_32[:2] - at[:, :, None] * R_32[2]))
    determinant = np.linalg.det(forth)
    ahead_and_seen = ahead & (determinant > 0.0)
    forth[~ahead_and_seen] = np.eye(2)
    back = np.linalg.inv(forth)
    back[~ahead_and_seen] = np.inf
    guess[~ahead] = -1.0
    return guess.astype(np.float32), back.astype(np.float32)
