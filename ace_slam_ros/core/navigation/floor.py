"""The floor below the camera, as a plane in its optical frame.

Where the camera sits on the robot, the floor is z = 0 of the base. Depth makes that exact, or
contradicts it. Without a mount the floor is fitted: the lowest large plane that faces the camera
from below, once several keyframes agree on it. Until then there is no floor.

A plane is four numbers: a unit normal n that points down, and d with n.x = d on the plane.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..data.floor_scan import floor_axes

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..data.poses import SubmapPose
    from ..data.submaps import SubmapMotions
    from ..geometry.arrays import Float32Image, Float64Array

log = logging.getLogger(__name__)

BoolArray = npt.NDArray[np.bool_]

#: Every so many pixels a point is taken.
_STEP_PX = 8
#: So many planes are drawn, through points so many samples apart; the best are refined.
_TRIALS, _REACH, _TRIED = 800, 12, 5
#: By every so many of the points.
_SCORED = 4
#: A floor is at most so oblique to the image's vertical: cosine, for pitch, and sine, for roll.
_LEAST_DOWN, _MOST_ASIDE = 0.5, 0.5
#: A surface is told by the samples so many beside a point, and may be part of a plane up to 35
#: degrees aside: noise turns it, edges of furniture that lie in one plane by chance do not.
_BESIDE, _SURFACE_COSINE = 2, float(np.cos(np.radians(35.0)))
#: How far below the camera it may be, meters.
_NEAREST_M, _DEEPEST_M = 0.05, 3.0
#: A plane must cover so much area, and so many of the points.
_LEAST_AREA_M2, _LEAST_FITTED_M2, _LEAST_SHARE = 0.15, 0.2, 0.02
#: Where so many points lie clearly below a plane, it is a table.
_MOST_BELOW = 0.02
#: Two planes of one floor differ by no more than this, at the camera.
_SAME_M, _SAME_COSINE = 0.08, float(np.cos(np.radians(5.0)))
#: A plane takes points within so many standard deviations, and is fitted so often, first to points
#: within so many meters more.
_GATE_SIGMAS, _ITERATIONS, _START_M = 2.5, 8, 0.08
#: The noise of so many neighboring points is one and the same.
_ALIKE = 40.0
#: How far a robot on wheels, or a pose, may be off the floor that is expected: meters, radians.
_UNSURE = (0.03, float(np.radians(1.0)))
#: So many keyframes must agree on a floor, of so many that are remembered.
_AGREE, _REMEMBERED = 3, 12
#: More keyframes than this without a floor are worth a word.
_PATIENCE = 5
#: A floor that is lower by so much than the one believed replaces it when enough agree.
_LOWER_M = 0.1


def floor_of_mount(T_base_cam: Float64Array) -> Float64Array:
    """Return the plane z = 0 of the base in the optical frame of a camera that sits there."""
    return np.append(-T_base_cam[2, :3], T_base_cam[2, 3])


def moved(plane_4: Float64Array, T_to_from: Float64Array) -> Float64Array:
    """Return a plane in another frame."""
    normal = T_to_from[:3, :3] @ plane_4[:3]
    return np.append(normal, plane_4[3] + normal @ T_to_from[:3, 3])


@dataclass(frozen=True)
class _Points:
    """Points (n, 3) of a depth image with the noise of each, and the area each stands for.

    `normals_n3` are those of the surface around each, 0 where it is not known. `cell_n2` is the
    row and column of each sample, `index_hw` its number there, -1 = no depth.
    """

    points_n3: Float64Array
    sigma_n: Float64Array
    area_n: Float64Array
    normals_n3: Float64Array
    cell_n2: npt.NDArray[np.int64]
    index_hw: npt.NDArray[np.int64]

    def thinned(self, step: int) -> _Points:
        """Return every so many of the points."""
        return _Points(self.points_n3[::step], self.sigma_n[::step], self.area_n[::step],
                       self.normals_n3[::step], self.cell_n2[::step], self.index_hw)

    def lie_in(self, normals_M3: Float64Array) -> BoolArray:
        """Tell which points (..., n) are of surfaces that may be a plane of some normals."""
        return np.asarray(np.abs(normals_M3 @ self.normals_n3.T) > _SURFACE_COSINE)


def sampled(
    depth_m_HW: Float32Image, camera: Camera, sensor: SensorConfig, farthest_m: float
) -> _Points:
    """Return every eighth point of a depth image each way, in the optical frame."""
    half = _STEP_PX // 2
    depth_hw = depth_m_HW[half::_STEP_PX, half::_STEP_PX].astype(np.float64)
    v, u = np.nonzero((depth_hw > sensor.min_depth_m)
                      & (depth_hw < min(sensor.max_depth_m, farthest_m)))
    z = depth_hw[v, u]
    pixels = np.stack([u, v], axis=1).astype(np.float64) * _STEP_PX + half
    index_hw = np.full(depth_hw.shape, -1)
    index_hw[v, u] = np.arange(len(z))
    points = camera.unproject(pixels, z)
    return _Points(points, sensor.depth_sigma_m(z),
                   (_STEP_PX * z) ** 2 / (camera.fx * camera.fy), _normals(points, v, u, index_hw),
                   np.stack([v, u], axis=1), index_hw)


def _normals(
    points_n3: Float64Array, v_n: npt.NDArray[np.int64], u_n: npt.NDArray[np.int64],
    index_hw: npt.NDArray[np.int64],
) -> Float64Array:
    """Return the normals (n, 3) of surfaces through the samples around each; 0 where unknown."""
    padded = np.pad(index_hw, _BESIDE, constant_values=-1)
    v_n, u_n = v_n + _BESIDE, u_n + _BESIDE
    left, right = padded[v_n, u_n - _BESIDE], padded[v_n, u_n + _BESIDE]
    above, under = padded[v_n - _BESIDE, u_n], padded[v_n + _BESIDE, u_n]
    known_n = np.minimum(np.minimum(left, right), np.minimum(above, under)) >= 0
    normals = np.cross(points_n3[right] - points_n3[left], points_n3[under] - points_n3[above])
    length = np.linalg.norm(normals, axis=1)
    normals /= np.maximum(length, 1e-9)[:, None]
    normals[~known_n] = 0.0
    return normals


def fit_floor(seen: _Points) -> Float64Array | None:
    """Return the lowest large plane below the camera, None when there is none.

    The draws repeat: the same points give the same plane.
    """
    planes_M4 = _drawn(seen)
    if not len(planes_M4):
        return None
    few = seen.thinned(_SCORED)
    gate_Mn, below_Mn = _gates(planes_M4[:, 3:], few)
    height_Mn = planes_M4[:, 3:] - planes_M4[:, :3] @ few.points_n3.T
    on_Mn = (np.abs(height_Mn) < 2.0 * gate_Mn) & few.lie_in(planes_M4[:, :3])
    area_M = on_Mn @ few.area_n
    area_M[np.mean(height_Mn < -2.0 * below_Mn, axis=1) > _MOST_BELOW] = 0.0
    best, best_area = None, _LEAST_FITTED_M2
    for m in np.argsort(-area_M, kind="stable")[:_TRIED]:
        found = refined(planes_M4[m], seen)
        if found is None or not _may_be_floor(found):
            continue
        gate_n, _ = _gates(found[3], seen)
        near_n = np.abs(found[3] - seen.points_n3 @ found[:3]) < gate_n
        area = float(seen.area_n[near_n & seen.lie_in(found[:3])].sum())
        if area > best_area:
            best, best_area = found, area
    return best


def _drawn(seen: _Points) -> Float64Array:
    """Return planes (M, 4) through three points each, near each other, that may be the floor."""
    count = len(seen.points_n3)
    if count < 50:
        return np.zeros((0, 4))
    rng = np.random.default_rng(count)
    first = rng.integers(0, count, _TRIALS)
    beside = seen.cell_n2[first, None] + rng.integers(-_REACH, _REACH + 1, (_TRIALS, 2, 2))
    height, width = seen.index_hw.shape
    second, third = seen.index_hw[beside[..., 0].clip(0, height - 1),
                                  beside[..., 1].clip(0, width - 1)].T
    known = (second >= 0) & (third >= 0)
    a, b, c = (seen.points_n3[i[known]] for i in (first, second, third))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    a, normals, length = (x[length > 1e-3] for x in (a, normals, length))
    normals *= np.where(normals[:, 1] < 0, -1.0, 1.0)[:, None] / length[:, None]
    planes = np.column_stack([normals, np.einsum("ij,ij->i", normals, a)])
    return planes[[_may_be_floor(plane) for plane in planes]] if len(planes) else planes


def _may_be_floor(plane_4: Float64Array) -> bool:
    return bool(plane_4[1] > _LEAST_DOWN and abs(plane_4[0]) < _MOST_ASIDE
                and _NEAREST_M < plane_4[3] < _DEEPEST_M)


def refined(
    plane_4: Float64Array, seen: _Points, unsure: tuple[float, float] = (1.0, 1.0)
) -> Float64Array | None:
    """Fit a plane to the points near it; None when they are too few to be a floor.

    Args:
        plane_4: where the floor is expected.
        seen: points of a depth image.
        unsure: standard deviations of its height at the camera, meters, and of its tilt, radians:
            a floor that is seen from afar, or little of it, says nothing of them.
    """
    gate_n, below_n = _gates(plane_4[3], seen)
    prior = np.array([1 / unsure[0], 1 / unsure[1], 1 / unsure[1]]) ** 2
    axes_23 = floor_axes(plane_4)
    flat_n = seen.lie_in(plane_4[:3])
    over_n = plane_4[3] - seen.points_n3 @ plane_4[:3]
    flat_n2 = seen.points_n3 @ axes_23.T
    found_3 = np.zeros(3)  # height at the camera, and slopes along both axes
    unsure_n = np.minimum(unsure[0] + unsure[1] * np.linalg.norm(flat_n2, axis=1), _START_M)
    for iteration in range(_ITERATIONS):
        height_n = over_n - found_3[0] - flat_n2 @ found_3[1:]
        wide_n = gate_n + unsure_n * 0.5**iteration
        near_n = flat_n & (np.abs(height_n) < wide_n)
        if near_n.mean() < _LEAST_SHARE:
            return None
        A = np.column_stack([np.ones(int(near_n.sum())), flat_n2[near_n]])
        weight_n = np.square(1.0 - np.square(height_n[near_n] / wide_n[near_n]))
        weight_n /= _ALIKE * np.square(wide_n[near_n] / _GATE_SIGMAS)
        H = (A * weight_n[:, None]).T @ A + np.diag(prior)
        found_3 = np.linalg.solve(H, (A * weight_n[:, None]).T @ over_n[near_n])
    height_n = over_n - found_3[0] - flat_n2 @ found_3[1:]
    near_n = flat_n & (np.abs(height_n) < gate_n)
    if (float(seen.area_n[near_n].sum()) < _LEAST_AREA_M2 or near_n.mean() < _LEAST_SHARE
            or np.mean(height_n < -below_n) > 2 * _MOST_BELOW):
        return None
    normal = plane_4[:3] + found_3[1:] @ axes_23
    length = float(np.linalg.norm(normal))
    return np.append(normal / length, (plane_4[3] - found_3[0]) / length)


def _gates(below_m: Any, seen: _Points) -> tuple[Float64Array, Float64Array]:
    """Height within which a point is on a plane below the camera, and beyond which below it.

    Depth that is wrong by some millimeters moves a point along its ray, which is flat far away.
    """
    sigma = seen.sigma_n * below_m / seen.points_n3[:, 2]
    return 0.012 + _GATE_SIGMAS * sigma, 0.05 + 5.0 * sigma


def same_floor(a_4: Float64Array, b_4: Float64Array) -> bool:
    """Whether two planes of one frame are one floor, as seen from a camera at its origin."""
    return bool(abs(a_4[3] - b_4[3]) < _SAME_M and a_4[:3] @ b_4[:3] > _SAME_COSINE)


class FloorFinder:
    """Follows the floor from keyframe to keyframe.

    Attributes:
        problem: why there is no floor, or what contradicts the mount; empty when all is well.
    """

    def __init__(self, sensor: SensorConfig, farthest_m: float) -> None:
        self._sensor, self._farthest_m = sensor, farthest_m
        self._told = ""
        self.clear()

    def clear(self) -> None:
        """Forget what was seen."""
        self._candidates: deque[tuple[int, Float64Array]] = deque(maxlen=_REMEMBERED)
        self._believed: tuple[int, Float64Array] | None = None
        self._without = 0
        self.problem = ""

    def correct(self, motions: SubmapMotions) -> None:
        """Follow a correction of the map."""
        def follow(of: tuple[int, Float64Array]) -> tuple[int, Float64Array]:
            motion = motions.get(of[0])
            return of if motion is None else (motion.submap, moved(of[1], motion.T_44))

        self._candidates = deque((follow(c) for c in self._candidates), maxlen=_REMEMBERED)
        self._believed = None if self._believed is None else follow(self._believed)

    def find(
        self, frame: Frame, pose: SubmapPose, T_base_cam: Float64Array | None = None
    ) -> Float64Array | None:
        """Return the floor in the optical frame of a keyframe, None while it is unknown.

        Args:
            frame: image and depth.
            pose: where its camera is.
            T_base_cam: (4, 4) camera on the robot; None = not known.
        """
        if frame.depth_m is None:
            return None
        seen = sampled(frame.depth_m, frame.camera, self._sensor, self._farthest_m)
        mount = None if T_base_cam is None else floor_of_mount(T_base_cam)
        if mount is not None and mount[3] < _NEAREST_M:
            mount = None  # the base is a frame of the camera itself, not on the floor
        expected = self._expected(pose) if self._believed is not None else None
        if expected is None:
            expected = mount
        own = None if expected is None else refined(expected, seen, _UNSURE)
        if own is None and (expected is None or self._contradicts(expected, seen)):
            own = self._learn(seen, pose, expected)
        if own is None:
            own = expected
        elif self._believed is not None or mount is None:
            self._believed = (pose.submap, moved(own, pose.T_map_cam))
        self._tell(own, mount)
        return own

    @staticmethod
    def _contradicts(expected: Float64Array, seen: _Points) -> bool:
        """Whether something is seen clearly below where the floor is expected."""
        _, below_n = _gates(expected[3], seen)
        return bool(np.mean(expected[3] - seen.points_n3 @ expected[:3] < -below_n)
                    > 2 * _MOST_BELOW)

    def _expected(self, pose: SubmapPose) -> Float64Array | None:
        """Return the floor believed so far, in the optical frame of a camera."""
        if self._believed is None or self._believed[0] != pose.submap:
            return None
        inverse = np.eye(4)
        inverse[:3, :3] = pose.T_map_cam[:3, :3].T
        inverse[:3, 3] = -inverse[:3, :3] @ pose.T_map_cam[:3, 3]
        return moved(self._believed[1], inverse)

    def _learn(
        self, seen: _Points, pose: SubmapPose, expected: Float64Array | None
    ) -> Float64Array | None:
        """Fit a floor without prejudice; return it when enough keyframes agree and it is lower."""
        fitted = fit_floor(seen)
        if fitted is None:
            return None
        in_map = moved(fitted, pose.T_map_cam)
        self._candidates.append((pose.submap, in_map))
        here = [c for number, c in self._candidates if number == pose.submap
                and c[:3] @ in_map[:3] > _SAME_COSINE
                and abs(_below(c, pose) - fitted[3]) < _SAME_M]
        if len(here) < _AGREE:
            return None
        if expected is not None and fitted[3] < expected[3] + _LOWER_M:
            return None
        mean = np.mean(here, axis=0)
        mean /= np.linalg.norm(mean[:3])
        self._believed = (pose.submap, mean)
        return self._expected(pose)

    def _tell(self, own: Float64Array | None, mount: Float64Array | None) -> None:
        self.problem = ""
        self._without = self._without + 1 if own is None else 0
        if self._without > _PATIENCE:
            self.problem = ("the floor is unknown, so there is no occupancy grid: let the camera "
                            "see it, or tell where it sits (in ROS: TF base_frame -> camera)")
        elif own is not None and mount is not None and not same_floor(own, mount):
            self.problem = (
                f"the camera sees the floor {own[3]:.2f} m below it, its mount says "
                f"{mount[3]:.2f} m: correct TF base_frame -> camera (z = 0 is the floor)")
        if self.problem and self.problem != self._told:
            # A camera in the hand has no floor to tell of; a wrong mount is somebody's mistake.
            log.log(logging.INFO if own is None else logging.WARNING, "%s", self.problem)
            self._told = self.problem


def _below(plane_4: Float64Array, pose: SubmapPose) -> float:
    """Return how far a plane of the map is below a camera."""
    return float(plane_4[3] - plane_4[:3] @ pose.T_map_cam[:3, 3])
