"""Robust camera pose from scene coordinates: batched RANSAC over 3-point Kabsch, then refinement.

Every feature brings a camera-frame point (from depth) and several hypotheses of the map point it
shows; no pose prior is needed. Source: ACE-SLAM section 3.3, with depth-noise gates, several
hypotheses per feature and a pose covariance added.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .hypotheses import Hypotheses
from .proposals import choose_pose, propose
from .refinement import refine

if TYPE_CHECKING:
    from ..config.sections import SensorConfig, SolverConfig
    from ..data.features import Features
    from ..data.poses import PoseEstimate
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float32Array

_GATE_SIGMAS = 3.0


def solve_rgbd(
    features: Features, predictions: Predictions, solver: SolverConfig, sensor: SensorConfig,
    rng: np.random.Generator, hypotheses: int | None = None,
) -> PoseEstimate | None:
    """Find the pose most features agree with.

    Args:
        features: with camera-frame points (rows with NaN are ignored).
        predictions: hypotheses for the same features.
        solver: gates and limits.
        sensor: depth noise.
        rng: the only source of randomness.
        hypotheses: instead of `solver.hypotheses`.

    Returns:
        The pose, or None when too few features agree.
    """
    y_N3 = features.points_cam_N3
    known = Hypotheses.of(y_N3, predictions, np.isfinite(y_N3[:, 2]))
    if len(known.row_n) < max(3, solver.min_inliers):
        return None
    known = replace(known, gate2_M=_squared_gate(known, solver, sensor))
    poses = propose(known, rng, solver.hypotheses if hypotheses is None else hypotheses)
    if len(poses) == 0:
        return None
    return refine(choose_pose(poses, known, rng), len(features), known, solver, sensor)


def _squared_gate(known: Hypotheses, solver: SolverConfig, sensor: SensorConfig) -> Float32Array:
    """Return the squared distance (M,) up to which each hypothesis agrees with a pose."""
    depth_m_n = known.y_n3[:, 2]
    spread2_n = (_GATE_SIGMAS * sensor.depth_sigma_m(depth_m_n)) ** 2
    most_n = solver.gate_m(depth_m_n) ** 2 + spread2_n
    claimed_M = (_GATE_SIGMAS * known.sigma_M) ** 2 + (spread2_n + 0.02**2)[known.owner_M]
    return np.asarray(np.minimum(most_n[known.owner_M], claimed_M), np.float32)
