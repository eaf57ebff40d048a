"""Whether another place explains a view nearly as well: equal doors, corridors that look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.predictions import Predictions
from ..geometry.se3 import invert_pose, pose_error, transform_points

if TYPE_CHECKING:
    from ..data.camera import Camera
    from ..data.features import Features
    from ..data.poses import PoseEstimate
    from ..geometry.arrays import Float64Array

#: Hypotheses this near to where a pose puts a feature belong to its place.
_SAME_PLACE_M = 0.3
#: The same of pixels, for features without depth.
_SAME_PLACE_PX = 40.0
#: A place that explains this share of what the best one does is a rival...
RIVAL_SHARE = 0.8
#: ...unless its pose is as near as this: drift has drawn one place twice into the map.
_SAME_POSE_M, _SAME_POSE_RAD = 0.5, np.deg2rad(20.0)
#: What is drawn twice explains as much twice, 0.73 to 1.08 of the other in maps of four kinds with
#: every second keyframe moved by 0.35 to 0.45 m. Walls that repeat, in rooms that only look like
#: the mapped one, come to 0.2 to 0.52 so near.
_TWICE_SHARE = 0.6


def rivals(pose: PoseEstimate, other: PoseEstimate | None) -> bool:
    """Tell whether another place explains a view nearly as well as the one of a pose.

    Args:
        pose: the best one.
        other: the best one elsewhere, from `without_place`; None without any.
    """
    return (other is not None and other.confidence > RIVAL_SHARE * pose.confidence
            and not _near(pose, other))


def is_drawn_twice(pose: PoseEstimate, other: PoseEstimate) -> bool:
    """Tell whether the best pose elsewhere is in the same place, which drift drew twice.

    Args:
        pose: the best one.
        other: the best one elsewhere, from `without_place`.
    """
    return other.confidence > _TWICE_SHARE * pose.confidence and _near(pose, other)


def _near(pose: PoseEstimate, other: PoseEstimate) -> bool:
    apart_m, apart_rad = pose_error(pose.T_map_cam, other.T_map_cam)
    return apart_m < _SAME_POSE_M and apart_rad < _SAME_POSE_RAD


def without_place(
    features: Features, predictions: Predictions, T_map_cam: Float64Array,
    camera: Camera | None = None,
) -> Predictions:
    """Drop the hypotheses that agree with a pose, roughly: what is left speaks for other places.

    Args:
        features, predictions: of the view.
        T_map_cam: (4, 4) pose.
        camera: for features without depth, which then are compared by their pixels.
    """
    coords_NS3 = predictions.coords_map_NS3.astype(np.float64)
    if camera is None:
        placed_N3 = transform_points(T_map_cam, features.points_cam_N3.astype(np.float64))
        near_NS = np.linalg.norm(coords_NS3 - placed_N3[:, None], axis=2) < _SAME_PLACE_M
    else:
        local_M3 = transform_points(invert_pose(T_map_cam), coords_NS3.reshape(-1, 3))
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels_NS2 = camera.project(local_M3).reshape(*coords_NS3.shape[:2], 2)
            gap_NS = np.linalg.norm(pixels_NS2 - features.pixels_N2[:, None], axis=2)
        ahead_NS = local_M3[:, 2].reshape(gap_NS.shape) > 0.0
        near_NS = ahead_NS & (gap_NS < _SAME_PLACE_PX)
    sigma_NS = np.where(near_NS, np.float32(np.inf), predictions.sigma_m_NS)
    return Predictions(predictions.coords_map_NS3, sigma_NS.astype(np.float32),
                       predictions.submap_NS)
