"""A keyframe of the tracker: image, corners, their depth, and where later keyframes saw them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .corners import CornerMotion
from .rolling_shutter import sweep

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float64Array, UInt8Image
    from .surface_alignment import Surface


@dataclass(frozen=True)
class Track:
    """A keyframe's corners in another keyframe: index (m,), pixels (m, 2), meters (m,)."""

    index_m: npt.NDArray[np.int64]
    pixels_m2: Float32Array
    depth_m: Float32Array


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
        contrast_n: (n,) float32 contrast around the corners.
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
    contrast_n: Float32Array
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
