"""Whether another place explains a view nearly as well: equal doors, corridors that look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data.predictions import Predictions
from ..geometry.se3 import invert_pose, transform_points

if TYPE_CHECKING:
    from ..data.camera import Camera
    from ..data.features import Features
    from ..geometry.arrays import Float64Array

#: Hypotheses this near to where a pose puts a feature belong to its place.
_SAME_PLACE_M = 0.3
#: The same of pixels, for features without depth.
_SAME_PLACE_PX = 40.0


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
