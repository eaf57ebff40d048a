"""Scene heads with known camera poses: learn from some frames, relocalize the others.

Shared by the benchmarks of encoders and heads, so that both mean the same by every figure. A head
enters as a function `learn` from keyframes to something with `predict`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.encoders.codebook import Codebook
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.arrays import Float32Array, Float64Array
from ace_slam_ros.core.geometry.se3 import pose_error, transform_points
from ace_slam_ros.core.heads.affine.head import AffineHead
from ace_slam_ros.core.heads.affine.learner import AffineLearner
from ace_slam_ros.core.localization.rgbd import solve_rgbd
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.synth.worlds import World

#: A scene coordinate, or a position, this near to the truth counts as found.
NEAR_M = 0.05
_CPU = torch.device("cpu")


class Predicts(Protocol):
    """A learned head."""

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return hypotheses of the scene coordinates of N descriptors."""


Learn = Callable[[Sequence[Keyframe]], Predicts]


@dataclass(frozen=True)
class PosedFrame:
    """A frame and its true camera pose (4, 4) in the world."""

    frame: Frame
    T_map_cam: Float64Array


@dataclass(frozen=True)
class PosedFeatures:
    """What heads see of a frame: its features, and the true camera pose (4, 4)."""

    stamp_ns: int
    T_map_cam: Float64Array
    features: Features
    camera: Camera

    def keyframe(self, identifier: int) -> Keyframe:
        """Return the keyframe a tracker at the true pose would make of it."""
        return Keyframe.from_features(
            identifier, self.stamp_ns, self.T_map_cam, self.features, self.camera)


def recorded_frames(path: Path, every: int = 1) -> Iterator[PosedFrame]:
    """Yield every n-th frame of a sequence, if it is usable and has a true pose.

    Raises:
        DataError: the sequence cannot be read or has no ground truth.
    """
    source = open_source(path)
    if source.groundtruth is None:
        raise DataError(f"{path} has no groundtruth.txt: give a sequence with known poses")
    poses, valid = source.groundtruth.at(source.stamps_ns)
    for number in range(0, len(source), every):
        if not valid[number]:
            continue
        try:
            frame = source[number]
        except DataError:
            continue  # an unusable frame is no view
        yield PosedFrame(frame, poses[number])


def rendered_frames(
    world: World, every: int = 1, count: int | None = None
) -> Iterator[PosedFrame]:
    """Yield every n-th frame of the first `count` frames of a synthetic world, all by default."""
    total = world.default_frames if count is None else count
    for item in world.frames(total, step=every):
        yield PosedFrame(item.frame, item.T_world_cam_44)


def describe(
    frames: Iterable[PosedFrame], extract: Callable[[Frame], Features]
) -> list[PosedFeatures]:
    """Extract the features of all frames."""
    return [PosedFeatures(f.frame.stamp_ns, f.T_map_cam, extract(f.frame), f.frame.camera)
            for f in frames]


def even_odd(views: Sequence[PosedFeatures]) -> tuple[list[PosedFeatures], list[PosedFeatures]]:
    """Split into (learned, queried): even frames, odd frames."""
    return list(views[::2]), list(views[1::2])


def first_last(
    views: Sequence[PosedFeatures], share: float = 0.6
) -> tuple[list[PosedFeatures], list[PosedFeatures]]:
    """Split into (learned, queried): the first frames, the rest."""
    cut = int(share * len(views))
    return list(views[:cut]), list(views[cut:])


def affine(config: SlamConfig, codebook: Codebook) -> Learn:
    """Return how the default head learns with an encoder's codebook, on the CPU."""
    def learn(keyframes: Sequence[Keyframe]) -> AffineHead:
        learner = AffineLearner(config.head, config.sensor, codebook, _CPU)
        for keyframe in keyframes:
            learner.observe(keyframe, keyframe.T_map_cam)
        return AffineHead(learner.export(), codebook, config.head.neighbors)

    return learn


@dataclass(frozen=True)
class Relocalizations:
    """Queries against a head that knows nothing of their poses.

    Attributes:
        error_m_N, error_deg_N: pose errors of the N queries, infinite where no pose was found.
        inlier_ratio_N: share of features that agree with the pose, 0 without one.
        near_N: share of the features with depth that have a hypothesis within 5 cm of the truth.
        learn_ms, predict_ms, solve_ms: CPU time per learned keyframe, and per query.
    """

    error_m_N: Float64Array
    error_deg_N: Float64Array
    inlier_ratio_N: Float64Array
    near_N: Float64Array
    learn_ms: float
    predict_ms: float
    solve_ms: float

    def recall(self, trans_m: float, rot_deg: float) -> float:
        """Share of all queries with a pose within both bounds."""
        return float(np.mean((self.error_m_N <= trans_m) & (self.error_deg_N <= rot_deg)))

    def figures(self) -> dict[str, float | int | None]:
        """Return what a report holds; a median is None when most queries found no pose."""
        median_m = float(np.median(self.error_m_N))
        known = bool(np.isfinite(median_m))
        return {
            "queries": len(self.error_m_N),
            "median_cm": median_m * 100 if known else None,
            "median_deg": float(np.median(self.error_deg_N)) if known else None,
            "recall_5cm_5deg": self.recall(0.05, 5.0),
            "recall_10cm_5deg": self.recall(0.10, 5.0),
            "inlier_ratio": float(self.inlier_ratio_N.mean()),
            "coordinates_within_5cm": float(self.near_N.mean()),
            "learn_cpu_ms_per_keyframe": self.learn_ms,
            "predict_cpu_ms": self.predict_ms,
            "solve_cpu_ms": self.solve_ms,
        }


def relocalize(
    learn: Learn, learned: Sequence[PosedFeatures], queried: Sequence[PosedFeatures],
    config: SlamConfig, seed: int = 0,
) -> Relocalizations:
    """Learn a head from frames at their true poses and relocalize other frames in it.

    Args:
        learn: makes a head of keyframes.
        learned, queried: frames of one world frame.
        config: solver and sensor.
        seed: of the solver's random draws.

    Raises:
        ValueError: there is nothing to learn or to query.
    """
    if not learned or not queried:
        raise ValueError("frames to learn from and frames to query are needed")
    keyframes = [view.keyframe(k) for k, view in enumerate(learned)]
    start = time.process_time()
    head = learn(keyframes)
    learn_s = time.process_time() - start
    rng = np.random.default_rng(seed)
    rows, predict_s, solve_s = [], 0.0, 0.0
    for view in queried:
        start = time.process_time()
        predictions = head.predict(view.features.descriptors_ND)
        middle = time.process_time()
        found = solve_rgbd(view.features, predictions, config.solver, config.sensor, rng)
        predict_s += middle - start
        solve_s += time.process_time() - middle
        near = near_share(view, predictions)
        if found is None:
            rows.append((np.inf, np.inf, 0.0, near))
        else:
            error_m, error_rad = pose_error(found.T_map_cam, view.T_map_cam)
            rows.append((error_m, np.degrees(error_rad), found.inlier_ratio, near))
    columns = np.array(rows, np.float64).T
    return Relocalizations(
        *columns, learn_ms=1e3 * learn_s / len(learned), predict_ms=1e3 * predict_s / len(queried),
        solve_ms=1e3 * solve_s / len(queried))


def near_share(view: PosedFeatures, predictions: Predictions) -> float:
    """Share of the features with depth that have a hypothesis within 5 cm of the true point."""
    known = np.isfinite(view.features.points_cam_N3[:, 2])
    if not known.any():
        return 0.0
    truth = transform_points(
        view.T_map_cam, view.features.points_cam_N3[known].astype(np.float64))
    error = np.linalg.norm(predictions.coords_map_NS3[known] - truth[:, None], axis=2)
    error[~np.isfinite(predictions.sigma_m_NS[known])] = np.inf
    return float(np.mean(error.min(axis=1) < NEAR_M))
