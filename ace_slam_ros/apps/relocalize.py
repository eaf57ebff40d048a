"""Relocalize every frame of a recording in a saved map."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from .. import __version__
from ..core.config.cameras import for_camera
from ..core.data.frame import Frame
from ..core.data.trajectory import Trajectory, write_tum
from ..core.encoders.loading import load_encoder
from ..core.errors import DataError
from ..core.geometry.se3 import pose_error
from ..core.localization.relocalizer import Relocalization, Relocalizer
from ..core.maps.map_folder import load_map
from ..core.runtime.device import choose_device, set_threads
from ..core.runtime.memory import peak_rss_mb
from ..core.warm_up import warm_up
from ..evaluation.summary import Latency, RelocalizeSummary, relocalize_scores
from ..evaluation.trajectory_error import absolute_trajectory_error, compared
from ..io.source import known_length
from ..io.warm_up import warm_up_inputs
from .live_end import ends_when_told
from .run import half_the_cores

if TYPE_CHECKING:
    from ..core.config.sections import SlamConfig
    from ..core.geometry.arrays import Float64Array
    from ..io.source import Source

log = logging.getLogger(__name__)


def relocalize_sequence(
    map_dir: Path, source: Source, config: SlamConfig, out: Path, *, rgb_only: bool = False,
    progress: bool = True,
) -> RelocalizeSummary:
    """Ask for the pose of every frame of a recording in a saved map, each without any prior.

    Errors are against ground truth in the map's ground-truth frame when the map knows it
    (it was made from a recording with ground truth), else after aligning the answers to it.

    Raises:
        MapError: the map cannot be used.
        DataError: no frame is usable.
    """
    config, sensor = for_camera(config, source.device_names)
    set_threads(config.encoder.threads or half_the_cores())
    encoder = load_encoder(config.encoder, choose_device(config.device))
    warm_up(config, encoder, source.camera.width, source.camera.height, queries=True)
    warm_up_inputs()
    stored = load_map(map_dir, encoder_hash=encoder.hash)
    relocalizer = Relocalizer(config, encoder)
    relocalizer.set_head(stored.head, 1)
    stamps, answers = [], []
    with ends_when_told(source):
        for frame in tqdm(source, total=known_length(source), desc="relocalizing", unit="frame",
                          disable=not progress):
            query = Frame(frame.stamp_ns, frame.image, None, frame.camera) if rgb_only else frame
            stamps.append(frame.stamp_ns)
            answers.append(relocalizer.locate(query))
    if not answers:
        raise DataError(f"no usable frame in {source.path}: {source.skips.summary()}")
    estimate = Trajectory.of(
        (stamp_ns, answer.T_map_cam) for stamp_ns, answer in zip(stamps, answers, strict=True)
        if answer.success and answer.T_map_cam is not None)
    write_tum(out / "trajectory.txt", estimate)
    errors, frame_name = _query_errors(
        np.array(stamps, np.int64), estimate, source, stored.manifest.T_groundtruth_map)
    said = {} if source.groundtruth is None else compared(
        estimate, source.groundtruth, source.groundtruth.at(estimate.stamps_ns)[1])
    if said.get("problem"):
        log.warning("%s", said["problem"])
    scores = relocalize_scores(errors)
    if frame_name == "none":
        scores.update(recall_5cm_5deg=float("nan"), recall_10cm_5deg=float("nan"),
                      median_trans_m=float("nan"), median_rot_deg=float("nan"), false_accepts=0)
    summary = RelocalizeSummary(
        source=str(source.path), map=str(map_dir), mode="rgb" if rgb_only else "rgbd",
        latency_ms=Latency.of([a.latency_ms for a in answers]), **scores,
        extra={"asked": len(answers), "answered": len(estimate), "refused": refusals(answers),
               "groundtruth_frame": frame_name,
               "rejected": source.skips.total, "peak_rss_mb": peak_rss_mb(),
               "device": str(encoder.device), "version": __version__,
               **source.summary(), "compared": said, "sensor": sensor.summary()})
    summary.write(out / "summary.json")
    return summary


def refusals(answers: Sequence[Relocalization]) -> dict[str, dict[str, Any]]:
    """Return why queries were not answered: reason -> their number, and what the first was told.

    The commonest reason comes first.
    """
    refused = [answer for answer in answers if not answer.success]
    first: dict[str, str] = {}
    for answer in refused:
        first.setdefault(answer.reason.name, answer.message)
    counts = Counter(answer.reason.name for answer in refused)
    return {reason: {"count": count, "first": first[reason]}
            for reason, count in counts.most_common()}


def _query_errors(
    stamps_ns: np.ndarray, estimate: Trajectory, source: Source,
    T_groundtruth_map: Float64Array | None,
) -> tuple[list[tuple[float, float] | None], str]:
    """Return the error of each query with ground truth (None = not answered), and how aligned."""
    if source.groundtruth is None:
        return [None] * len(stamps_ns), "none"
    how = "map"
    if T_groundtruth_map is None:
        how = "aligned"
        T_groundtruth_map = absolute_trajectory_error(
            estimate, source.groundtruth).T_groundtruth_map
    T_true_N44, valid_N = source.groundtruth.at(stamps_ns)
    if not valid_N.any():
        return [None] * len(stamps_ns), "none"
    answered = dict(zip(estimate.stamps_ns.tolist(), estimate.T_map_cam_N44, strict=True))
    errors: list[tuple[float, float] | None] = []
    for stamp, T_true, valid in zip(stamps_ns.tolist(), T_true_N44, valid_N, strict=True):
        if not valid:
            continue
        if stamp not in answered:
            errors.append(None)
            continue
        trans_m, rot_rad = pose_error(T_groundtruth_map @ answered[stamp], T_true)
        errors.append((trans_m, float(np.degrees(rot_rad))))
    return errors, how
