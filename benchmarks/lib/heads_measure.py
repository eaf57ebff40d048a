"""What the benchmark of heads measures: learning curves, times, re-targeting, forgetting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.base import Encoder
from ace_slam_ros.core.geometry.arrays import Float64Array
from ace_slam_ros.core.geometry.se3 import exp_se3, transform_points
from ace_slam_ros.core.heads.base import HeadLearner, SceneHead
from ace_slam_ros.core.heads.factory import load_head, make_learner
from ace_slam_ros.core.heads.payload import HeadInfo, pack_head

from .known_poses import PosedFeatures, Relocalizations, relocalize
from .report import interleaved_ms

HEADS = ("affine", "aceg", "affine+aceg", "trimlp", "hommlp")
#: A learner works in slices of this length until its training time is spent.
_SLICE_S = 0.1


@dataclass(frozen=True)
class Setting:
    """Configuration and encoder of a benchmark."""

    config: SlamConfig
    encoder: Encoder

    def learner(self, head_type: str, **values: Any) -> HeadLearner:
        """Return an empty learner, with other head parameters if given."""
        config = self.config.with_values({f"head.{k}": v for k, v in values.items()})
        return make_learner(config, self.encoder, head_type)

    def frozen(self, learner: HeadLearner) -> tuple[SceneHead, int]:
        """Return the head as a robot loads it, and the bytes it needs to localize."""
        blob = pack_head(learner.export(), HeadInfo(
            "benchmark", self.encoder.hash, learner.head_type, 0, 0))
        return load_head(blob, self.encoder, self.config).head, len(blob)


def query(setting: Setting, head: SceneHead, queried: Sequence[PosedFeatures]) -> Relocalizations:
    """Relocalize frames in a head that is learned already."""
    return relocalize(lambda _: head, queried[:1], queried, setting.config)


def coordinate_error_cm(head: SceneHead, queried: Sequence[PosedFeatures]) -> float:
    """Return the median error of the best hypothesis of all features with depth, cm."""
    errors = []
    for view in queried:
        known = np.isfinite(view.features.points_cam_N3[:, 2])
        truth = transform_points(
            view.T_map_cam, view.features.points_cam_N3[known].astype(np.float64))
        p = head.predict(view.features.descriptors_ND[known])
        error = np.linalg.norm(p.coords_map_NS3 - truth[:, None], axis=2)
        errors.append(np.where(np.isfinite(p.sigma_m_NS), error, np.inf).min(axis=1))
    return float(100 * np.median(np.concatenate(errors)))


def learning_curve(
    setting: Setting, head_type: str, learned: Sequence[PosedFeatures],
    queried: Sequence[PosedFeatures], marks_s: Sequence[float],
) -> list[dict[str, Any]]:
    """Return the error after each training time (CPU seconds of this process).

    A head that learns while it observes gives one point; the others take all keyframes first and
    are then asked at each mark.
    """
    learner = setting.learner(head_type)
    keyframes = [view.keyframe(k) for k, view in enumerate(learned)]
    spent_s = -time.process_time()
    for keyframe in keyframes:
        learner.observe(keyframe, keyframe.T_map_cam)
    spent_s += time.process_time()
    curve = []
    for mark_s in marks_s if learner.wants_work else [0.0]:
        start = time.process_time()
        while spent_s + time.process_time() - start < mark_s:
            learner.work(_SLICE_S)
        spent_s += time.process_time() - start
        head, size = setting.frozen(learner)
        figures = query(setting, head, queried).figures()
        del figures["learn_cpu_ms_per_keyframe"]
        curve.append({"train_cpu_s": spent_s, "map_bytes": size,
                      "coordinate_median_cm": coordinate_error_cm(head, queried[::8]), **figures})
    return curve


def moved_poses(keyframes: Sequence[Keyframe]) -> dict[int, Float64Array]:
    """Return poses as a pose graph corrects drift: up to 10 cm and 3 deg, growing smoothly."""
    step = np.array([0.08, -0.05, 0.03, 0.02, 0.04, -0.03])
    return {k.id: exp_se3(step * i / len(keyframes)) @ k.T_map_cam
            for i, k in enumerate(keyframes)}


def retargeting(setting: Setting, head_type: str, views: Sequence[PosedFeatures], count: int
                ) -> dict[str, float]:
    """Return ms to re-target `count` keyframes and the distance to a head rebuilt from scratch.

    For the distance one expert stands for each word: with several, rebuilding may give samples
    near the border of two places to the other one, which is no error of re-targeting.
    """
    keyframes = [views[i % len(views)].keyframe(i) for i in range(count)]
    moved = moved_poses(keyframes)
    back = {k.id: k.T_map_cam for k in keyframes}
    learner = setting.learner(head_type)
    for keyframe in keyframes:
        learner.observe(keyframe, keyframe.T_map_cam)
    turns = iter([back, moved] * 20)
    figures = interleaved_ms({"ms": lambda: learner.retarget(next(turns))}, rounds=7, warm_up=2)
    if head_type == "aceg":
        return figures | {"rigid_gap_m_max": _rigid_gap_m(learner, keyframes)}
    if head_type != "affine":
        return figures
    single = {"experts_per_word": 1, "new_expert_m": 10.0}
    trained, rebuilt = setting.learner(head_type, **single), setting.learner(head_type, **single)
    for keyframe in keyframes:
        trained.observe(keyframe, keyframe.T_map_cam)
        rebuilt.observe(keyframe, moved[keyframe.id])
    trained.retarget(moved)
    d = np.concatenate([v.features.descriptors_ND for v in views[:10]])
    one, two = trained.predict(d), rebuilt.predict(d)
    known = np.isfinite(one.sigma_m_NS)
    gap = np.linalg.norm(one.coords_map_NS3 - two.coords_map_NS3, axis=2)[known]
    # stored offsets are rounded: what lies at the border of a step may fall to either side
    step_m = float(np.linalg.norm(trained.export()["offset_step"]))
    return figures | {"rebuilt_gap_m_max": float(gap.max()), "storage_step_m": step_m,
                      "rebuilt_gap_beyond_storage_m": max(0.0, float(gap.max()) - step_m),
                      "rebuilt_gap_m_p999": float(np.quantile(gap, 0.999)),
                      "rebuilt_gap_m_median": float(np.median(gap))}


def _rigid_gap_m(learner: HeadLearner, keyframes: Sequence[Keyframe]) -> float:
    """Return how far tokens are from where one motion of all keyframes must take them."""
    def placed() -> Float64Array:
        t = learner.export()
        return np.asarray(t["token_offsets"] * t["token_step"] + t["token_center"])

    learner.retarget({k.id: k.T_map_cam for k in keyframes})
    before, T = placed(), exp_se3(np.array([0.3, -0.2, 0.1, 0.1, -0.2, 0.3]))
    learner.retarget({k.id: T @ k.T_map_cam for k in keyframes})
    return float(np.abs(placed() - transform_points(T, before)).max())


def forgetting(setting: Setting, head_type: str, views: Sequence[PosedFeatures], share: float
               ) -> dict[str, Any]:
    """Return relocalization in the first part of a journey right after it, and after the end.

    Even frames are learned, odd ones are asked. A head that works by steps does those it is owed.
    """
    cut = int(share * len(views))
    learner = setting.learner(head_type)
    asked = list(views[1:cut:2])
    found: dict[str, Any] = {"queries": len(asked)}
    for name, part in (("right_after", range(0, cut, 2)),
                       ("after_the_end", range(cut + cut % 2, len(views), 2))):
        for i in part:
            keyframe = views[i].keyframe(i)
            learner.observe(keyframe, keyframe.T_map_cam)
            learner.work(float("inf"))
        figures = query(setting, setting.frozen(learner)[0], asked).figures()
        found[name] = {k: figures[k] for k in (
            "median_cm", "median_deg", "recall_5cm_5deg", "recall_10cm_5deg", "inlier_ratio")}
    return found


def times(setting: Setting, views: Sequence[PosedFeatures], features: int, rounds: int
          ) -> dict[str, Any]:
    """Return ms per head to predict a frame's features (1 and 2 threads) and to insert a keyframe.

    Every head knows all the views first; the inserted keyframes are seen again under new ids.
    """
    heads, learners = {}, {}
    for head_type in HEADS:
        learners[head_type] = learner = setting.learner(head_type)
        for i, view in enumerate(views):
            keyframe = view.keyframe(i)
            learner.observe(keyframe, keyframe.T_map_cam)
        learner.work(0.2)
        heads[head_type] = setting.frozen(learner)[0]
    pool = np.concatenate([v.features.descriptors_ND for v in views[:4]])
    d = np.ascontiguousarray(np.resize(pool, (features, pool.shape[1])))
    fresh = [views[i % len(views)].keyframe(len(views) + i) for i in range(rounds + 3)]
    before = torch.get_num_threads()
    result: dict[str, Any] = {"features": features}

    def insertion(learner: HeadLearner) -> Callable[[], int]:
        queue = iter(fresh)

        def insert() -> int:
            keyframe = next(queue)
            return learner.observe(keyframe, keyframe.T_map_cam)

        return insert

    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            predictions = {name: _prediction(head, d) for name, head in heads.items()}
            result[f"predict_ms_{threads}_threads"] = interleaved_ms(predictions, rounds)
        result["insert_ms_2_threads"] = interleaved_ms(
            {name: insertion(learner) for name, learner in learners.items()}, rounds)
    finally:
        torch.set_num_threads(before)
    return result


def _prediction(head: SceneHead, descriptors_ND: np.ndarray) -> Callable[[], Any]:
    return lambda: head.predict(descriptors_ND)


def resident_mb() -> float:
    """Return the memory this process holds now, MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6
