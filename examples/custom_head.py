#!/usr/bin/env python3
"""A scene head of one's own: remembers features, and answers with the most similar one.

    .venv/bin/python examples/custom_head.py FOLDER_OR_BAG

A head is two classes: a learner, which the mapper feeds with keyframes, and a frozen head, which
tracker and relocalizer ask for scene coordinates. `core/heads/base.py` says what each must do;
`register_head` makes the pair a value of `head.type`, in this process and in those that import
this file. This one keeps no submaps apart, so that a lost camera waits for a known place.
"""

import sys
from collections import deque
from pathlib import Path

import numpy as np
import torch

from ace_slam_ros.core import Keyframe, Slam, SlamConfig
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.data.submaps import MAIN_SUBMAP, SubmapMotion
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.geometry.se3 import transform_points
from ace_slam_ros.core.heads.factory import HeadKind, register_head
from ace_slam_ros.io import open_source

HEAD_TYPE = "memory"
#: Features kept of a keyframe; less similar ones (cosine) than this are of another place.
FEATURES, LEAST_SIMILARITY = 300, 0.8
#: Standard deviation per axis of what is remembered, meters.
SIGMA_M = 0.03


class MemoryHead:
    """Frozen weights: descriptors and where they are."""

    head_type, takes_submaps = HEAD_TYPE, False

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        if set(arrays) != {"descriptors", "points"}:
            raise MapError("the weights are not those of a memory head: map again")
        descriptors = torch.tensor(arrays["descriptors"]).float()
        self._descriptors_MD = torch.nn.functional.normalize(descriptors, dim=1)
        self._points_M3 = arrays["points"]

    def predict(self, descriptors_ND: np.ndarray) -> Predictions:
        """Return one hypothesis a feature; sigma is infinite where nothing similar is known."""
        count = len(descriptors_ND)
        if not count or not len(self._points_M3):
            return Predictions(np.zeros((count, 1, 3), np.float32),
                               np.full((count, 1), np.inf, np.float32))
        similarity_NM = torch.from_numpy(descriptors_ND) @ self._descriptors_MD.T
        best_N, index_N = (found.numpy() for found in similarity_NM.max(dim=1))
        sigma_N = np.where(best_N > LEAST_SIMILARITY, np.float32(SIGMA_M), np.float32(np.inf))
        return Predictions(self._points_M3[index_N][:, None], sigma_N[:, None])


class MemoryLearner:
    """Keeps what keyframes showed, in their camera frames: map points follow their poses."""

    head_type, wants_work = HEAD_TYPE, False

    def __init__(self, capacity: int) -> None:
        self._keyframes: dict[int, tuple[Keyframe, np.ndarray]] = {}
        self._forgotten: deque[tuple[Keyframe, np.ndarray]] = deque(maxlen=capacity)

    def observe(
        self, keyframe: Keyframe, T_map_cam: np.ndarray, submap: int = MAIN_SUBMAP
    ) -> int:
        """Take a keyframe, an evenly spread part of its features."""
        self._keyframes[keyframe.id] = (_thinned(keyframe), T_map_cam)
        return len(self._keyframes[keyframe.id][0].pixels_N2)

    def work(self, budget_s: float) -> bool:
        """Do nothing: all is learned at once."""
        return False

    def prune(self, keyframe: Keyframe, T_map_cam: np.ndarray, kept_N: np.ndarray) -> None:
        """Unlearn the features that a keyframe has lost."""
        if keyframe.id in self._keyframes:
            held, pose = self._keyframes[keyframe.id]
            self._keyframes[keyframe.id] = (held.pick(held.shared_with(keyframe)), pose)

    def retarget(self, poses: dict[int, np.ndarray]) -> None:
        """Follow corrected poses."""
        for identifier, T_map_cam in poses.items():
            self._keyframes[identifier] = (self._keyframes[identifier][0], T_map_cam)

    def move_submap(
        self, number: int, motion: SubmapMotion, poses: dict[int, np.ndarray]
    ) -> None:
        """Do nothing: this head has the map alone."""

    def forget(self, identifier: int) -> None:
        """Keep what a keyframe taught where it is, as long as there is room."""
        if identifier in self._keyframes:
            self._forgotten.append(self._keyframes.pop(identifier))

    def export(self) -> dict[str, np.ndarray]:
        """Return the weights of the frozen head."""
        known = [*self._forgotten, *self._keyframes.values()]
        descriptors = [k.descriptors_i8_ND for k, _ in known] or [np.zeros((0, 1), np.int8)]
        points = [transform_points(T, k.points_cam_N3.astype(np.float64)) for k, T in known]
        return {
            "descriptors": np.concatenate(descriptors),
            "points": np.concatenate([*points, np.zeros((0, 3))]).astype(np.float32)}

    def predict(self, descriptors_ND: np.ndarray) -> Predictions:
        """Predict as the exported head would."""
        return MemoryHead(self.export()).predict(descriptors_ND)

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Do nothing: the keyframes of the map were observed again."""


def _thinned(keyframe: Keyframe) -> Keyframe:
    count = len(keyframe.pixels_N2)
    kept_N = np.zeros(count, bool)
    kept_N[np.linspace(0, count - 1, min(count, FEATURES)).astype(int)] = True
    return keyframe.pick(kept_N)


register_head(HEAD_TYPE, HeadKind(
    make_learner=lambda config, encoder: MemoryLearner(config.keyframe.max_count),
    make_head=lambda arrays, encoder, config: MemoryHead(arrays),
    weights_bytes=lambda config, encoder: (
        2 * config.keyframe.max_count * FEATURES * (encoder.dimension + 12))))


def main(recording: Path) -> None:
    """Map a recording with it."""
    slam = Slam(SlamConfig().with_overrides([f"head.type={HEAD_TYPE}", "device=cpu"]))
    results = [slam.process(frame) for frame in open_source(recording)]
    seen = [result.inlier_ratio for result in results if result.T_map_cam_raw is not None]
    print(f"{len(results)} frames, {sum(r.has_map_pose for r in results)} tracked; scene "
          f"coordinates placed {len(seen)}, with {np.mean(seen):.0%} of the features; "
          f"{slam.mapper.keyframe_count} keyframes, {len(slam.mapper.export_head()):,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
