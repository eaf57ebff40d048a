"""Whether all that agrees with a pose lies in one plane: little speaks for it, walls look alike.

Where few features agree, right poses have some that lie off the plane of the others; poses in
unknown places, which the same bricks suggest, have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..config.sections import SensorConfig
    from ..data.features import Features
    from ..data.poses import PoseEstimate

#: A pose with which more than this share of the features agrees needs no second plane.
_SURE = 0.15
#: Of what agrees with a right pose, at least so much lies off its largest plane.
_LEAST_OFF = 0.04
#: Planes are drawn so often; a point lies in one within so many standard deviations and meters.
_TRIALS, _GATE_SIGMAS, _GATE_M = 128, 3.0, 0.015


def is_flat(pose: PoseEstimate, features: Features, sensor: SensorConfig) -> bool:
    """Tell whether a pose rests on too little, all of it in one plane.

    Args:
        pose: solved from the features.
        features: with points in the camera frame; of pixels alone nothing is known.
        sensor: noise of the depth.
    """
    if pose.confidence >= _SURE:
        return False
    points_n3 = features.points_cam_N3[pose.inliers_N].astype(np.float64)
    points_n3 = points_n3[np.isfinite(points_n3).all(axis=1)]
    if len(points_n3) < 3:
        return False
    drawn = np.random.default_rng(0).integers(len(points_n3), size=(_TRIALS, 3))
    a, b, c = (points_n3[drawn[:, i]] for i in range(3))
    normals_T3 = np.cross(b - a, c - a)
    lengths_T1 = np.linalg.norm(normals_T3, axis=1, keepdims=True)
    normals_T3 /= np.maximum(lengths_T1, 1e-12)
    gap_Tn = np.abs(normals_T3 @ points_n3.T - np.sum(normals_T3 * a, axis=1)[:, None])
    gate_n = _GATE_M + _GATE_SIGMAS * sensor.depth_sigma_m(points_n3[:, 2])
    on_plane_T = np.mean(gap_Tn < gate_n, axis=1) * (lengths_T1[:, 0] > 1e-6)
    return bool(on_plane_T.max() > 1.0 - _LEAST_OFF)
