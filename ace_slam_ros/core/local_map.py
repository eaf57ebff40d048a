"""Local keyframes and the seeded refinement: image tracks with depth against recent places.

The images live only in the tracker's memory, bounded, and are never saved or sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .camera import Camera
from .config import SensorConfig, TrackerConfig
from .depth_surface import surface_depth
from .frame import Frame
from .geometry import (
    Float64Array,
    exp_se3,
    invert_pose,
    most_redundant_view,
    pose_error,
    transform_points,
)

Float32Array = npt.NDArray[np.float32]
UInt8Image = npt.NDArray[np.uint8]

_WINDOW_PX = 17
_LEVELS, _LEVELS_WIDE = 2, 4
_GRID = 16
_MAX_KEYFRAMES = 120
#: Views farther apart than this (translation over depth plus 1.5 x radians) share too little.
LARGEST_VIEW_DISTANCE = 1.2


@dataclass
class LocalKeyframe:
    """An image with depth at its corners.

    Attributes:
        id: keyframe id, shared with the mapper.
        grey: (H, W) uint8 image.
        pixels_n2: (n, 2) float32 corners.
        points_cam_n3: (n, 3) float64 their camera-frame points, metres.
        T_map_cam: pose.
        median_depth_m: median of the points' depth.
        mapped: the mapper has it too.
    """

    id: int
    grey: UInt8Image
    pixels_n2: Float32Array
    points_cam_n3: Float64Array
    T_map_cam: Float64Array
    median_depth_m: float
    mapped: bool = False


@dataclass(frozen=True)
class RefinedPose:
    """Result of the refinement: pose, covariance, and how many tracks agree."""

    T_map_cam: Float64Array
    covariance_66: Float64Array
    inliers: int
    tracks: int


def detect_corners(grey_HW: UInt8Image, count: int) -> Float32Array:
    """Return up to `count` corners (n, 2) spread over the image, FAST ranked within a grid."""
    found = cv2.FastFeatureDetector_create(8).detect(grey_HW)  # type: ignore[attr-defined]
    if not found:
        return np.empty((0, 2), np.float32)
    pixels = np.array([k.pt for k in found], np.float32)
    response = np.array([k.response for k in found], np.float32)
    height, width = grey_HW.shape
    margin = _WINDOW_PX // 2 + 2
    inside = ((pixels > margin) & (pixels < (width - margin, height - margin))).all(axis=1)
    pixels, response = pixels[inside], response[inside]
    order = np.argsort(-response, kind="stable")
    pixels = pixels[order]
    cell = np.int64(pixels[:, 1] // _GRID) * (width // _GRID + 1) + np.int64(pixels[:, 0] // _GRID)
    _, first = np.unique(cell, return_index=True)
    return np.asarray(pixels[np.sort(first)[:count]])


def point_depth(
    depth_m: Float32Array, pixels_n2: Float32Array, sensor: SensorConfig
) -> Float32Array:
    """Depth (n,) at pixels: mean of the 3x3 measured pixels if they are one surface, else NaN."""
    columns = np.rint(pixels_n2[:, 0]).astype(np.int64)
    rows = np.rint(pixels_n2[:, 1]).astype(np.int64)
    height, width = depth_m.shape
    inside = (columns > 0) & (columns < width - 1) & (rows > 0) & (rows < height - 1)
    columns, rows = np.clip(columns, 1, width - 2), np.clip(rows, 1, height - 2)
    steps = np.arange(-1, 2)
    window = depth_m[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps]
    found = surface_depth(window.reshape(-1, 9).T, sensor, least=5, slope=0.02)
    return np.where(inside, found, np.float32(np.nan))


class LocalMap:
    """Bounded set of local keyframes that a frame is refined against."""

    def __init__(self, tracker: TrackerConfig, sensor: SensorConfig) -> None:
        self._tracker, self._sensor = tracker, sensor
        self._keyframes: dict[int, LocalKeyframe] = {}

    def __len__(self) -> int:
        return len(self._keyframes)

    def clear(self) -> None:
        """Forget all keyframes."""
        self._keyframes.clear()

    def shift(self, T_44: Float64Array, first: int) -> None:
        """Move the keyframes with id >= `first` rigidly: T_map_cam becomes T_44 @ T_map_cam."""
        for keyframe in self._keyframes.values():
            if keyframe.id >= first:
                keyframe.T_map_cam = T_44 @ keyframe.T_map_cam

    def correct(self, poses: dict[int, Float64Array]) -> Float64Array:
        """Move the keyframes to where the mapper corrected them.

        A keyframe that the mapper does not name (it is too new, or was dropped) moves along with
        the one made before it.

        Args:
            poses: keyframe id -> corrected T_map_cam (4, 4).

        Returns:
            (4, 4) motion of the newest keyframe in the map frame: T_map_cam becomes T @ T_map_cam.
        """
        motion = np.eye(4)
        for identifier in sorted(self._keyframes):
            keyframe = self._keyframes[identifier]
            if identifier in poses:
                motion = poses[identifier] @ invert_pose(keyframe.T_map_cam)
            keyframe.T_map_cam = motion @ keyframe.T_map_cam
        return motion

    def mark_mapped(self, identifier: int) -> None:
        """Note that the mapper has a keyframe."""
        self._keyframes[identifier].mapped = True

    def add(
        self, identifier: int, frame: Frame, T_map_cam: Float64Array
    ) -> bool:
        """Make the frame a local keyframe; False when it has too few corners with depth."""
        if frame.depth_m is None:
            return False
        pixels = detect_corners(frame.grey, 2 * self._tracker.track_points)
        depth = point_depth(frame.depth_m, pixels, self._sensor)
        good = np.flatnonzero(np.isfinite(depth))[: self._tracker.track_points]
        if len(good) < self._tracker.min_tracks:
            return False
        points = frame.camera.unproject(
            pixels[good].astype(np.float64), depth[good].astype(np.float64))
        self._keyframes[identifier] = LocalKeyframe(
            identifier, frame.grey, pixels[good], points, np.array(T_map_cam),
            float(np.median(depth[good])))
        if len(self._keyframes) > _MAX_KEYFRAMES:
            self._cull()
        return True

    def _cull(self) -> None:
        """Drop the keyframe nearest to another one, never one of the ten newest."""
        identifiers = list(self._keyframes)
        poses = np.stack([k.T_map_cam for k in self._keyframes.values()])
        del self._keyframes[identifiers[most_redundant_view(poses, newest=10)]]

    def distance(self, keyframe: LocalKeyframe, T_map_cam: Float64Array) -> float:
        """View distance: translation over depth plus rotation in radians, 0 = same view."""
        translation_m, rotation_rad = pose_error(keyframe.T_map_cam, T_map_cam)
        return translation_m / keyframe.median_depth_m + 1.5 * rotation_rad

    def nearest(
        self, T_map_cam: Float64Array, count: int, mapped_only: bool = False
    ) -> list[tuple[float, LocalKeyframe]]:
        """Return the `count` keyframes with the most similar view, nearest first."""
        ranked = sorted(
            ((self.distance(k, T_map_cam), k) for k in self._keyframes.values()
             if k.mapped or not mapped_only),
            key=lambda pair: (pair[0], pair[1].id))
        return ranked[:count]

    def refine(
        self, frame: Frame, T_seed: Float64Array, references: int = 2, wide: bool = False
    ) -> RefinedPose | None:
        """Follow the corners of the nearest keyframes into the frame and solve its pose.

        Args:
            frame: the new image and depth.
            T_seed: (4, 4) camera-to-map guess.
            references: keyframes used.
            wide: search four times as far, for a seed that may be off by a tenth of the image.

        Returns:
            The pose, or None when fewer than `tracker.min_tracks` tracks agree.
        """
        parts = []
        for distance, keyframe in self.nearest(T_seed, references):
            same_size = keyframe.grey.shape == frame.grey.shape  # the driver may change profile
            if distance < LARGEST_VIEW_DISTANCE and same_size:
                parts.append(self._follow(keyframe, frame, T_seed, wide))
        if not parts:
            return None
        points = np.concatenate([p[0] for p in parts])
        pixels = np.concatenate([p[1] for p in parts])
        if len(points) < self._tracker.min_tracks:
            return None
        depth = (point_depth(frame.depth_m, pixels, self._sensor) if frame.depth_m is not None
                 else np.full(len(pixels), np.nan, np.float32))
        return optimise_pose(T_seed, points, pixels, depth, frame.camera, self._sensor,
                             self._tracker.min_tracks)

    def _follow(
        self, keyframe: LocalKeyframe, frame: Frame, T_seed: Float64Array, wide: bool
    ) -> tuple[Float64Array, Float32Array]:
        """Track a keyframe's corners; returns map points (m, 3) and their pixels (m, 2)."""
        camera = frame.camera
        points_map = transform_points(keyframe.T_map_cam, keyframe.points_cam_n3)
        in_cam = transform_points(invert_pose(T_seed), points_map)
        ahead = in_cam[:, 2] > 0.05
        guess = np.zeros((len(points_map), 2), np.float32)
        guess[ahead] = camera.project(in_cam[ahead])
        inside = ahead & ((guess > 2) & (guess < (camera.width - 3, camera.height - 3))).all(1)
        index = np.flatnonzero(inside)
        if len(index) == 0:
            return np.empty((0, 3)), np.empty((0, 2), np.float32)
        found, status, error = cv2.calcOpticalFlowPyrLK(
            keyframe.grey, frame.grey, keyframe.pixels_n2[index], guess[index].copy(),
            winSize=(_WINDOW_PX, _WINDOW_PX), maxLevel=_LEVELS_WIDE if wide else _LEVELS,
            criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW, minEigThreshold=1e-4)
        good = (status.reshape(-1) == 1) & (error.reshape(-1) < 25.0)
        good &= ((found > 2) & (found < (camera.width - 3, camera.height - 3))).all(axis=1)
        return points_map[index[good]], found[good]


def optimise_pose(
    T_map_cam: Float64Array, points_map_n3: Float64Array, pixels_n2: Float32Array,
    depth_m_n: Float32Array, camera: Camera, sensor: SensorConfig, min_inliers: int,
) -> RefinedPose | None:
    """Gauss-Newton on reprojection and depth residuals with a Cauchy kernel.

    Args:
        T_map_cam: (4, 4) start.
        points_map_n3: (n, 3) map points.
        pixels_n2: (n, 2) where they were found.
        depth_m_n: (n,) measured depth there, NaN where unknown.
        camera: intrinsics.
        sensor: noise of pixels and depth.
        min_inliers: fewer agreeing tracks are no pose.

    Returns:
        The pose with a covariance in the map frame, or None.
    """
    T_cam_map = invert_pose(T_map_cam)
    uv = pixels_n2.astype(np.float64)
    depth_sigma = sensor.depth_sigma_m(depth_m_n.astype(np.float64))
    has_depth = np.isfinite(depth_sigma)
    scale = 4.0
    for iteration in range(12):
        p = transform_points(T_cam_map, points_map_n3)
        if (p[:, 2] < 0.05).mean() > 0.5:
            return None
        z = np.maximum(p[:, 2], 0.05)
        r, J = _residuals(p, z, uv, depth_m_n, depth_sigma, has_depth, camera, sensor)
        chi2 = r[:, 0] ** 2 + r[:, 1] ** 2
        scale = max(1.0, scale * 0.6)
        w_image = 1.0 / (1.0 + chi2 / (2.0 * scale) ** 2)
        w_image[chi2 > (8.0 * scale) ** 2] = 0.0
        w_depth = w_image / (1.0 + r[:, 2] ** 2 / (2.0 * scale) ** 2)
        weight = np.stack([w_image, w_image, np.where(has_depth, w_depth, 0.0)], axis=1)
        H = np.einsum("nk,nki,nkj->ij", weight, J, J)
        g = np.einsum("nk,nki,nk->i", weight, J, r)
        try:
            step = -np.linalg.solve(H + 1e-6 * np.eye(6), g)
        except np.linalg.LinAlgError:
            return None
        T_cam_map = exp_se3(step) @ T_cam_map
        if np.abs(step).max() < 1e-5 and scale == 1.0 and iteration > 3:
            break
    inlier = chi2 < 9.0 * 2
    if inlier.sum() < min_inliers or inlier.mean() < 0.3:
        return None
    pose = invert_pose(T_cam_map)
    return RefinedPose(pose, _map_covariance(H, pose), int(inlier.sum()), len(inlier))


def _residuals(
    p: Float64Array, z: Float64Array, uv: Float64Array, depth_m: Float32Array,
    depth_sigma: Float64Array, has_depth: npt.NDArray[np.bool_], camera: Camera,
    sensor: SensorConfig,
) -> tuple[Float64Array, Float64Array]:
    """Whitened residuals (n, 3): u, v, z; derivatives (n, 3, 6) by a left twist of T_cam_map."""
    n = len(p)
    inverse = 1.0 / z
    r = np.zeros((n, 3))
    r[:, 0] = (camera.fx * p[:, 0] * inverse + camera.cx - uv[:, 0]) / sensor.pixel_sigma
    r[:, 1] = (camera.fy * p[:, 1] * inverse + camera.cy - uv[:, 1]) / sensor.pixel_sigma
    sigma = np.where(has_depth, depth_sigma * 1.5, 1.0)
    r[:, 2] = np.where(has_depth, (z - depth_m) / sigma, 0.0)
    D = np.zeros((n, 3, 3))
    D[:, 0, 0] = camera.fx * inverse / sensor.pixel_sigma
    D[:, 0, 2] = -camera.fx * p[:, 0] * inverse**2 / sensor.pixel_sigma
    D[:, 1, 1] = camera.fy * inverse / sensor.pixel_sigma
    D[:, 1, 2] = -camera.fy * p[:, 1] * inverse**2 / sensor.pixel_sigma
    D[:, 2, 2] = np.where(has_depth, 1.0 / sigma, 0.0)
    cross = np.zeros((n, 3, 3))
    cross[:, 0, 1], cross[:, 0, 2] = p[:, 2], -p[:, 1]
    cross[:, 1, 0], cross[:, 1, 2] = -p[:, 2], p[:, 0]
    cross[:, 2, 0], cross[:, 2, 1] = p[:, 1], -p[:, 0]
    return r, np.concatenate([D, D @ cross], axis=2)


def _map_covariance(H_66: Float64Array, T_map_cam: Float64Array) -> Float64Array:
    """Turn the information of a left twist of T_cam_map into a covariance in the map frame.

    Neighbouring tracks share errors of their keyframe, hence the factor.
    """
    R = T_map_cam[:3, :3]
    rotate = np.zeros((6, 6))
    rotate[:3, :3] = rotate[3:, 3:] = R
    C = np.linalg.inv(H_66 + 1e-9 * np.eye(6)) * 6.0
    return np.asarray(rotate @ C @ rotate.T)
