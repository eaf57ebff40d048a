"""Residuals of followed points in one frame, their derivatives by its pose, their weights.

Arrays are laid out by component, (3, n) and (6, 3, n): numpy works fastest on long rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..geometry.arrays import Float32Array, Float64Array

#: Nearer points are not projected.
NEAREST_M = 0.05
#: Variance of where a point is seen, as its depth tells, over that of the image.
OPEN = 1.0
#: Tracks are never trusted to less than this share of `sensor.pixel_sigma`: what their neighbors
#: agree on may be wrong alike.
LEAST_SPREAD, LARGEST_SPREAD = 0.5, 2.0
#: Of `sensor.pixel_sigma`, the standard deviation of a patch that looks exactly as it did; what
#: the squared misfit of a patch counts.
_SHARPEST, _MISFIT_SHARE = 0.6, 2.4
MEDIAN_RADIUS = 1.18  # median distance from the center of a 2-D Gaussian of sigma 1
#: Cauchy kernel, in standard deviations: wide, as track errors have long tails on both sides.
KERNEL_SIGMAS = 3.0
#: The noise model tells how depth noise grows with distance; how large it is here is measured,
#: within limits: neighbors share their errors, which therefore show too small; bent depth, and
#: color and depth of different instants, come to the largest.
LEAST_DEPTH_SPREAD, LARGEST_DEPTH_SPREAD = 1.0, 4.0
FEWEST_DEPTHS, USUAL_DEPTH_SPREAD = 10, 1.5  # fewer depths show no spread of their own
NORMAL_MAD = 1.4826  # standard deviation over the median absolute deviation of a Gaussian


@dataclass(frozen=True)
class Sightings:
    """Followed points in one frame.

    Attributes:
        points_map_n3: (n, 3) map points, meters.
        pixels_n2: (n, 2) float64 where they were found.
        depth_m_n: (n,) measured depth there, NaN where unknown.
        unsure_map_n3: (n, 3) one standard deviation of the points, which is along the line of
            sight they were first seen on, by the sensor's model; None = points are exact.
        misfit_n3: (n, 3) of the patches they were found by, see `Followed`; None = not measured.
    """

    points_map_n3: Float64Array
    pixels_n2: Float64Array
    depth_m_n: Float64Array
    unsure_map_n3: Float64Array | None = None
    misfit_n3: Float32Array | None = None

    def __len__(self) -> int:
        return len(self.pixels_n2)

    def pick(self, which_n: npt.NDArray[np.bool_]) -> Sightings:
        """Return some of them, by mask."""
        unsure = None if self.unsure_map_n3 is None else self.unsure_map_n3[which_n]
        misfit = None if self.misfit_n3 is None else self.misfit_n3[which_n]
        return Sightings(self.points_map_n3[which_n], self.pixels_n2[which_n],
                         self.depth_m_n[which_n], unsure, misfit)

    def whitening(self, pixel_sigma: float) -> Float64Array:
        """Return (n, 3) what makes standard deviations of pixels, see `whitening`."""
        if self.misfit_n3 is None:
            return all_alike(len(self), pixel_sigma)
        return whitening(self.misfit_n3, pixel_sigma)


def all_alike(count: int, pixel_sigma: float) -> Float64Array:
    """Return what `whitening` does (n, 3), of tracks that are told apart by nothing."""
    return np.tile([1.0 / pixel_sigma, 0.0, 1.0 / pixel_sigma], (count, 1))


def whitening(misfit_n3: npt.NDArray[np.floating[Any]], pixel_sigma: float) -> Float64Array:
    """Return a, b, c (n, 3), 1/px: (u, v) in pixels are (a u + b v, c v) standard deviations.

    A patch that looks otherwise than it did is not where it seems to be, most along the direction
    in which it changes least: by half again as much as one common error of all its gray values
    would move it (measured on recordings of two kinds of camera).

    Args:
        misfit_n3: (n, 3) of the patches, see `Followed`.
        pixel_sigma: standard deviation of an image measurement, pixels.
    """
    xx, xy, yy = _MISFIT_SHARE * np.asarray(misfit_n3, np.float64).T
    least = (_SHARPEST * pixel_sigma) ** 2
    xx, yy = xx + least, yy + least
    a = np.sqrt(yy / (xx * yy - xy * xy))
    return np.stack([a, -xy / yy * a, 1.0 / np.sqrt(yy)], axis=1)


def whiten(pixels_n2: Float64Array, white_n3: Float64Array) -> Float64Array:
    """Turn steps (n, 2) in the image into standard deviations, by what `whitening` returns."""
    (u, v), (a, b, c) = pixels_n2.T, white_n3.T
    return np.stack([a * u + b * v, c * v], axis=1)


@dataclass(frozen=True)
class Linearized:
    """Residuals at a pose, in standard deviations.

    Attributes:
        z_n: (n,) depth of the points in the camera, meters.
        r_3n: residuals u, v, z; z is 0 where the depth is unknown.
        J_63n: their derivatives by a left twist of T_cam_map.
        off_3n: what one standard deviation of the points adds to them; None = points are exact.
    """

    z_n: Float64Array
    r_3n: Float64Array
    J_63n: Float64Array
    off_3n: Float64Array | None


class TrackResiduals:
    """What followed points tell of a pose.

    Args:
        seen: points and where they were found.
        camera: intrinsics.
        sensor: noise of pixels and depth.
        by_misfit: standard deviations are those of each patch; else those of all alike.

    Attributes:
        has_depth_n: (n,) bool.
    """

    def __init__(
        self, seen: Sightings, camera: Camera, sensor: SensorConfig, by_misfit: bool = False
    ) -> None:
        unsure = seen.unsure_map_n3
        white_n3 = (seen.whitening(sensor.pixel_sigma) if by_misfit
                    else all_alike(len(seen), sensor.pixel_sigma))
        self._white_3n = np.ascontiguousarray(white_n3.T)
        self._points_3n = np.ascontiguousarray(seen.points_map_n3.T)
        self._unsure_3n = None if unsure is None else np.ascontiguousarray(unsure.T)
        self._principal_21 = np.array([[camera.cx], [camera.cy]])
        self.see_at(seen.pixels_n2)
        self._focal = camera.fx, camera.fy
        sigma = sensor.depth_sigma_m(seen.depth_m_n)
        self.has_depth_n = np.isfinite(sigma)
        self._sharpness_n = np.where(self.has_depth_n, 1.0 / sigma, 0.0)
        self._depth_n = np.where(self.has_depth_n, seen.depth_m_n, 0.0)

    def see_at(self, pixels_n2: Float64Array) -> None:
        """Take the points as found at other pixels (n, 2)."""
        self._offset_2n = self._principal_21 - pixels_n2.T

    def at(self, T_cam_map: Float64Array) -> Linearized:
        """Return residuals and derivatives at a pose."""
        R = T_cam_map[:3, :3]
        x, y, ahead = R @ self._points_3n + T_cam_map[:3, 3:]
        z = np.maximum(ahead, NEAREST_M)
        uz, vz = self._focal[0] / z, self._focal[1] / z
        r = np.empty((3, len(x)))
        r[:2] = (uz * x, vz * y)
        r[:2] += self._offset_2n
        a, b, c = self._white_3n
        r[0], r[1] = a * r[0] + b * r[1], c * r[1]
        sharp = self._sharpness_n
        r[2] = (z - self._depth_n) * sharp
        J = np.zeros((6, 3, len(x)))  # d by the point, then the point times d
        J[0, 0], J[1, 0], J[1, 1] = a * uz, b * vz, c * vz
        along_u, along_v = -uz * x / z, -vz * y / z
        J[2] = a * along_u + b * along_v, c * along_v, sharp
        J[3], J[4], J[5] = y * J[2] - ahead * J[1], ahead * J[0] - x * J[2], x * J[1] - y * J[0]
        off = None
        if self._unsure_3n is not None:
            of_x, of_y, of_z = R @ self._unsure_3n
            off = J[0] * of_x + J[1] * of_y + J[2] * of_z
        return Linearized(ahead, r, J, off)


def squared_errors(at: Linearized) -> Float64Array:
    """Squared image residuals (n,), in variances.

    Where the depth of a point leaves open where it is seen, more than the image does, only the
    distance from the line that it may be seen on counts.
    """
    squared = np.square(at.r_3n[:2]).sum(axis=0)
    if at.off_3n is None:
        return np.asarray(squared)
    off = at.off_3n[:2]
    open_n = np.square(off).sum(axis=0)
    along = (off * at.r_3n[:2]).sum(axis=0)
    return np.asarray(squared - np.where(open_n > OPEN, along**2 / (1.0 + open_n), 0.0))


def normal_equations(
    at: Linearized, weight_3n: Float64Array, robust_n: Float64Array, share: float = 1.0
) -> tuple[Float64Array, Float64Array]:
    """Sum up H (6, 6) and g (6,) of points that are themselves not exact.

    A point that is nearer or farther than believed is seen elsewhere, along one line: residuals
    across that line tell the pose better than those along it. The inverse of the covariance of a
    point's three residuals is that of a diagonal matrix plus one of rank one (Sherman-Morrison).

    Args:
        at: residuals and derivatives.
        weight_3n: of each residual by its own noise, times the robust weight.
        robust_n: that robust weight.
        share: standard deviations of the points over those of `at`.
    """
    rows = at.J_63n.reshape(6, -1)
    weighted_rows = (at.J_63n * weight_3n).reshape(6, -1)
    H = weighted_rows @ rows.T
    g = weighted_rows @ at.r_3n.reshape(-1)
    if at.off_3n is not None:
        off = share * at.off_3n
        weighted = weight_3n * off
        robust = np.where(robust_n > 0.0, robust_n, 1.0)  # what is cut off has no weight anyway
        common = 1.0 / (robust + (weighted * off).sum(axis=0))
        shared = (at.J_63n * weighted).sum(axis=1)
        H -= (shared * common) @ shared.T
        g -= shared @ (common * (weighted * at.r_3n).sum(axis=0))
    return H, g


def image_spread(chi2_n: Float64Array) -> float:
    """Standard deviation of the image residuals in units of `sensor.pixel_sigma`, measured.

    Blur, large viewpoint changes and imprecise map points widen it; sharp tracks narrow it.
    """
    measured = float(np.sqrt(np.median(chi2_n))) / MEDIAN_RADIUS
    return min(max(measured, LEAST_SPREAD), LARGEST_SPREAD)


def depth_spread(r_n: Float64Array, trusted_n: npt.NDArray[np.bool_]) -> float:
    """Standard deviation of the depth residuals in units of `sensor.depth_sigma_m`, measured.

    Args:
        r_n: (n,) residuals in units of the model.
        trusted_n: (n,) bool, those with depth, of points that agree in the image.
    """
    if trusted_n.sum() < FEWEST_DEPTHS:
        return USUAL_DEPTH_SPREAD
    return NORMAL_MAD * float(np.median(np.abs(r_n[trusted_n])))


def depth_weight(r_n: Float64Array, w_image_n: Float64Array, spread: float) -> Float64Array:
    """Weight (n,) of depth residuals: a Cauchy kernel of two spreads, and what the image says."""
    return np.asarray(w_image_n / (spread**2 + np.square(r_n) / 4.0))


def map_covariance(H_66: Float64Array, T_map_cam: Float64Array) -> Float64Array:
    """Turn the information of a left twist of T_cam_map into a covariance in the map frame."""
    R = T_map_cam[:3, :3]
    rotate = np.zeros((6, 6))
    rotate[:3, :3] = rotate[3:, 3:] = R
    C = np.linalg.inv(H_66 + 1e-9 * np.eye(6))
    return np.asarray(rotate @ C @ rotate.T)
