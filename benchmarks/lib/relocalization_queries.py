"""Queries of the relocalization benchmark: turned, from other sides, nearer, unknown places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.arrays import Float64Array
from ace_slam_ros.core.geometry.se3 import invert_pose, make_pose, transform_points
from ace_slam_ros.core.localization.views.query_views import rolled
from ace_slam_ros.synth.scenes import room
from ace_slam_ros.synth.worlds import World

from .known_poses import PosedFrame

#: Part of the room beyond the mapped path where queries may stand, as a share of its half size.
_ROAM = 1.9
#: Nearest thing that a query may have before it, and least share of its image with depth.
_CLEARANCE_M, _LEAST_DEPTH_SHARE = 0.35, 0.5
#: Least share of what a query shows that must have been mapped, from whatever side.
_LEAST_OVERLAP = 0.3
#: Depth at the middle of a query may differ by this from where it was aimed.
_HIDDEN_M = 0.15
_TRIES = 800


@dataclass(frozen=True)
class Query:
    """One question, and what is known of the answer.

    Attributes:
        case: group of the report.
        value: how hard it is within the group: degrees, or a scale.
        frame: what is asked; without depth for pixels only.
        T_map_cam: (4, 4) true pose; None where the map does not know the place.
    """

    case: str
    value: float
    frame: Frame
    T_map_cam: Float64Array | None


def as_they_are(case: str, views: Sequence[PosedFrame]) -> Iterator[Query]:
    """Ask for views as they were recorded."""
    for view in views:
        yield Query(case, 0.0, view.frame, view.T_map_cam)


def pixels_only(case: str, views: Sequence[PosedFrame]) -> Iterator[Query]:
    """Ask without depth."""
    for view in views:
        yield Query(case, 0.0, replace(view.frame, depth_m=None), view.T_map_cam)


def unknown(case: str, views: Sequence[PosedFrame]) -> Iterator[Query]:
    """Ask in a map that does not know the place."""
    for view in views:
        yield Query(case, 0.0, view.frame, None)


def turned(case: str, views: Sequence[PosedFrame], degrees: Sequence[float]) -> Iterator[Query]:
    """Ask with the camera rolled; what lies outside of the recorded image is black, without depth.

    Args:
        case: of the report.
        views: each is asked at each roll.
        degrees: the rolls.
    """
    for angle in degrees:
        for view in views:
            seen = rolled(view.frame, float(np.radians(angle)))
            assert seen.frame.mask is not None
            image = np.where(seen.frame.mask > 0, seen.frame.image, 0).astype(np.uint8)
            frame = Frame(view.frame.stamp_ns, image, seen.frame.depth_m, seen.frame.camera)
            yield Query(case, angle, frame, view.T_map_cam @ seen.T_cam_view)


def scaled(
    case: str, world: World, mapped: Sequence[PosedFrame], scales: Sequence[float], count: int,
    seed: int,
) -> Iterator[Query]:
    """Ask from nearer (a scale above one) or farther along the line of sight of mapped views."""
    rng = np.random.default_rng(seed)
    for scale in scales:
        found = 0
        for _ in range(_TRIES // 20):
            if found == count:
                break
            view = mapped[rng.integers(len(mapped))]
            distance_m = _distance_m(view)
            T = view.T_map_cam @ make_pose(
                np.eye(3), np.array([0.0, 0.0, distance_m * (1.0 - 1.0 / scale)]))
            query = _picture(world, T, distance_m / scale, found) if _inside(T[:3, 3]) else None
            if query is not None:
                found += 1
                yield Query(case, scale, query, T)


def from_the_side(
    case: str, world: World, mapped: Sequence[PosedFrame], degrees: tuple[float, float],
    count: int, seed: int,
) -> Iterator[Query]:
    """Ask from elsewhere, upright, for things that were mapped from other sides.

    Args:
        case: of the report.
        world: what is rendered.
        mapped: all views that the map was made of.
        degrees: least and largest angle between how the query sees what is mapped and how the
            nearest of these views saw it, in the median over the image.
        count: queries wanted; fewer where the world leaves no room.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(_TRIES):
        if found == count:
            return
        view = mapped[rng.integers(len(mapped))]
        distance_m = _distance_m(view)
        target_3 = (view.T_map_cam @ [0.0, 0.0, distance_m, 1.0])[:3]
        turn, toward = np.radians(rng.uniform(*degrees)) * 1.2, rng.uniform(0.0, 2.0 * np.pi)
        T = _upright(_around(view.T_map_cam, distance_m, turn * np.cos(toward),
                             0.6 * turn * np.sin(toward)))
        if not _inside(T[:3, 3]):
            continue
        query = _picture(world, T, float(np.linalg.norm(target_3 - T[:3, 3])), found)
        angle = None if query is None else _seen_from(query, T, mapped)
        if query is not None and angle is not None and degrees[0] <= angle < degrees[1]:
            found += 1
            yield Query(case, angle, query, T)


def _distance_m(view: PosedFrame) -> float:
    assert view.frame.depth_m is not None
    return float(np.median(view.frame.depth_m[view.frame.depth_m > 0.0]))


def _around(
    T_map_cam: Float64Array, distance_m: float, yaw: float, pitch: float
) -> Float64Array:
    """Move a camera around the point at a distance before it."""
    R_33 = np.asarray(cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0]
                      @ cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0])
    center_3 = np.array([0.0, 0.0, distance_m])
    return np.asarray(T_map_cam @ make_pose(R_33, center_3 - R_33 @ center_3))


def _upright(T_map_cam: Float64Array) -> Float64Array:
    """Take the roll out of a pose; z of the map points up."""
    forward_3 = T_map_cam[:3, 2]
    right_3 = np.cross(forward_3, [0.0, 0.0, 1.0])
    right_3 /= np.linalg.norm(right_3)
    R_33 = np.stack([right_3, np.cross(forward_3, right_3), forward_3], axis=1)
    return make_pose(R_33, T_map_cam[:3, 3])


def _inside(position_3: Float64Array) -> bool:
    return bool(np.all(np.abs(position_3 - room.CAMERA_CENTRE_3) < _ROAM * room.CAMERA_HALF_3))


def _seen_from(
    query: Frame, T_map_cam: Float64Array, mapped: Sequence[PosedFrame]
) -> float | None:
    """Median angle in degrees, over what a query shows, to the nearest view that saw it too.

    None when less than `_LEAST_OVERLAP` of it was mapped.
    """
    assert query.depth_m is not None
    rows, columns = np.mgrid[20:query.camera.height:40, 20:query.camera.width:40]
    rows, columns = rows.ravel(), columns.ravel()
    depth_n = query.depth_m[rows, columns].astype(np.float64)
    known = depth_n > 0.0
    pixels = np.stack([columns, rows], axis=1)[known].astype(np.float64)
    points_n3 = transform_points(T_map_cam, query.camera.unproject(pixels, depth_n[known]))
    own_n3 = points_n3 - T_map_cam[:3, 3]
    own_n3 /= np.linalg.norm(own_n3, axis=1)[:, None]
    largest_n = np.full(len(points_n3), -1.0)  # cosine of the least angle
    for view in mapped:
        camera, depth_m = view.frame.camera, view.frame.depth_m
        assert depth_m is not None
        local_n3 = transform_points(invert_pose(view.T_map_cam), points_n3)
        ahead = local_n3[:, 2] > 0.1
        at = np.rint(camera.project(np.where(ahead[:, None], local_n3, 1.0))).astype(int)
        sees = ahead & ((at >= 0) & (at < (camera.width, camera.height))).all(axis=1)
        sees[sees] = np.abs(
            depth_m[at[sees, 1], at[sees, 0]] - local_n3[sees, 2]) < 0.05 * local_n3[sees, 2]
        theirs = points_n3[sees] - view.T_map_cam[:3, 3]
        cosine = np.einsum("ni,ni->n", own_n3[sees], theirs) / np.linalg.norm(theirs, axis=1)
        largest_n[sees] = np.maximum(largest_n[sees], cosine)
    seen = largest_n > -1.0
    if seen.mean() < _LEAST_OVERLAP:
        return None
    return float(np.degrees(np.arccos(np.clip(np.median(largest_n[seen]), -1.0, 1.0))))


def _picture(world: World, T: Float64Array, distance_m: float, number: int) -> Frame | None:
    """Render a query; None where something is too near, hidden, or little has depth."""
    frame = world.picture(T, number).frame
    depth_m = frame.depth_m
    assert depth_m is not None
    known = depth_m[depth_m > 0.0]
    if len(known) < _LEAST_DEPTH_SHARE * depth_m.size:
        return None
    middle = depth_m[230:250, 310:330]
    hidden = abs(float(np.median(middle)) - distance_m) > _HIDDEN_M
    return None if hidden or np.percentile(known, 5) < _CLEARANCE_M else frame
