"""Run summaries: the keys of `summary.json`, plain-text tables, peak memory of this process."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import DataError


@dataclass(frozen=True)
class Latency:
    """Percentiles of a latency in milliseconds; NaN without samples."""

    p50: float
    p95: float

    @staticmethod
    def of(samples_ms: Sequence[float] | npt.NDArray[Any]) -> Latency:
        """Percentiles of the samples."""
        if len(samples_ms) == 0:
            return Latency(math.nan, math.nan)
        p50, p95 = np.percentile(np.asarray(samples_ms, float), [50, 95])
        return Latency(float(p50), float(p95))


class _Writable:
    """JSON form of a summary."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; NaN and infinity become None, as JSON has neither."""
        tree = dataclasses.asdict(self)  # type: ignore[call-overload]
        extra = tree.pop("extra")
        return {key: _plain(value) for key, value in {**tree, **extra}.items()}

    def write(self, path: Path) -> None:
        """Write `summary.json`.

        Raises:
            DataError: the file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        try:
            Path(path).write_text(text)
        except OSError as error:
            raise DataError(
                f"cannot write {path}: {error}; choose another --out folder") from error


@dataclass(frozen=True)
class RunSummary(_Writable):
    """Outcome of `ace-slam run`.

    Attributes:
        source: what was run.
        frames: image pairs in the source (as far as it was read).
        tracked, lost, skipped, rejected: with a pose; without one; dropped for a newer frame in
            real time; unusable (bad size, no depth, damaged).
        keyframes: keyframes the mapper holds at the end.
        ate_rmse_m, raw_ate_rmse_m: error of the poses and of the scene-coordinate poses alone;
            NaN without ground truth.
        rpe_trans_m_per_s: translation drift; NaN without ground truth.
        latency_ms: image pair to pose.
        fps: processed frames per second of wall time.
        realtime_factor: duration of the recording / wall time.
        map_bytes, keyframe_bytes: size of the head weights and of the keyframes on disk.
        peak_rss_mb: peak resident memory in 10^6 bytes.
        weights_version: last version the tracker used.
        initialized_at_frame: index of the first frame with a pose; None when there was none.
        device, config, version: torch device, changed or all parameters, software version.
        extra: further keys, written beside the others.
    """

    source: str
    frames: int
    tracked: int
    lost: int
    skipped: int
    rejected: int
    keyframes: int
    ate_rmse_m: float
    raw_ate_rmse_m: float
    rpe_trans_m_per_s: float
    latency_ms: Latency
    fps: float
    realtime_factor: float
    map_bytes: int
    keyframe_bytes: int
    peak_rss_mb: float
    weights_version: int
    initialized_at_frame: int | None
    device: str
    config: dict[str, Any]
    version: str
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RelocalizeSummary(_Writable):
    """Outcome of `ace-slam relocalize`.

    Attributes:
        source, map: images asked about and the map they were sought in.
        mode: `rgbd` or `rgb`.
        queries: images asked about.
        recall_5cm_5deg, recall_10cm_5deg: share of all queries answered within that error.
        median_trans_m, median_rot_deg: over the answered queries; NaN without ground truth.
        false_accepts: answered with confidence, but farther than 10 cm or 5 deg from the truth.
        latency_ms: per query.
        extra: further keys, written beside the others.
    """

    source: str
    map: str
    mode: str
    queries: int
    recall_5cm_5deg: float
    recall_10cm_5deg: float
    median_trans_m: float
    median_rot_deg: float
    false_accepts: int
    latency_ms: Latency
    extra: dict[str, Any] = field(default_factory=dict)


def relocalize_scores(
    errors: Sequence[tuple[float, float] | None],
) -> dict[str, Any]:
    """Recall, medians and false accepts of relocalization queries.

    Args:
        errors: per query (translation in meters, rotation in degrees), None when not answered.

    Returns:
        Keyword arguments of `RelocalizeSummary`.
    """
    found = np.array([e for e in errors if e is not None], float).reshape(-1, 2)
    total = max(len(errors), 1)

    def within(trans_m: float, rot_deg: float) -> int:
        return int(np.sum((found[:, 0] <= trans_m) & (found[:, 1] <= rot_deg)))

    medians = np.median(found, axis=0) if len(found) else np.full(2, np.nan)
    return {
        "queries": len(errors),
        "recall_5cm_5deg": within(0.05, 5.0) / total,
        "recall_10cm_5deg": within(0.10, 5.0) / total,
        "median_trans_m": float(medians[0]),
        "median_rot_deg": float(medians[1]),
        "false_accepts": len(found) - within(0.10, 5.0),
    }


def _plain(value: Any) -> Any:
    """Turn numpy values, paths, NaN and infinity into what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
