"""`ace-slam run`: track and map a recording or a live camera, and write what came of it.

`--every-frame` runs tracker and mapper in turn and is deterministic; `--realtime` plays the
recording at its own speed, with the mapper in a process beside the tracker.
A live camera is always in real time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .. import __version__
from ..core.config.cameras import for_camera
from ..core.config.fields import flatten
from ..core.data.trajectory import Trajectory, write_tum
from ..core.encoders.loading import load_encoder
from ..core.errors import ConfigError, DataError
from ..core.geometry.arrays import Float64Array
from ..core.maps.manifest import MapManifest
from ..core.maps.map_folder import load_map
from ..core.runtime.device import choose_device, set_threads
from ..core.runtime.memory import peak_rss_mb
from ..core.slam import Slam
from ..core.warm_up import warm_up
from ..evaluation.plots import plot_trajectory
from ..evaluation.summary import Latency, RunSummary
from ..evaluation.trajectory_error import absolute_trajectory_error, compared, relative_pose_error
from ..io.warm_up import warm_up_inputs
from ..viewer.rerun_view import NoView, open_view
from .live_end import ends_when_told
from .mapper_process import MapperProcess
from .realtime import play_realtime
from .recorder import RunRecorder

if TYPE_CHECKING:
    from ..core.config.cameras import SensorChoice
    from ..core.config.sections import SlamConfig
    from ..core.encoders.base import Encoder
    from ..io.source import Source

log = logging.getLogger(__name__)

#: Writes the map to a folder, with the pose of the map in the ground truth's frame if known.
SaveMap = Callable[[Path, Float64Array | None], MapManifest]


def run_sequence(
    source: Source, config: SlamConfig, out: Path, *, realtime: bool = False, rate: float = 1.0,
    map_dir: Path | None = None, progress: bool = True, view: str | None = None,
) -> RunSummary:
    """Track and map a recording; write trajectories, map, plot and summary to `out`.

    Args:
        source: recorded sequence.
        config: all parameters.
        out: existing folder for the results.
        realtime: play at the recording's speed, newest frame wins; else every frame in turn.
        rate: in real time, so many times as fast as it was recorded.
        map_dir: a map to continue (or to localize in, `mode=localization`).
        progress: show a progress bar.
        view: show the run, see `viewer.rerun_view.open_view`; None = do not.

    Raises:
        DataError: no frame of the source is usable, or none could be tracked.
        MapError: `map_dir` cannot be used.
        ConfigError: localization without a map.
    """
    if config.localization_only and map_dir is None:
        raise ConfigError("mode=localization needs a map to localize in: give --map")
    config, sensor = for_camera(config, source.device_names)
    set_threads(config.encoder.threads or half_the_cores())
    encoder = load_encoder(config.encoder, choose_device(config.device))
    warm_up(config, encoder, source.camera.width, source.camera.height, maps=not realtime)
    warm_up_inputs()
    recorder = RunRecorder(NoView() if view is None else open_view(view, config, encoder))
    with contextlib.ExitStack() as stack:
        stack.callback(recorder.view.close)
        save: SaveMap
        if realtime:
            mapper = stack.enter_context(MapperProcess(config, map_dir))
            started = time.perf_counter()
            with ends_when_told(source):
                play_realtime(recorder, source, mapper, encoder, config, progress, rate)
            save = mapper.save
        else:
            slam = Slam(config, encoder, map_dir=map_dir)
            started = time.perf_counter()
            _play_every_frame(recorder, source, slam, progress)
            save = slam.save
        elapsed_s = time.perf_counter() - started
        if not recorder.results:
            raise DataError(f"no usable frame in {source.path}: {source.skips.summary()}")
        if recorder.first_tracked is None:
            raise DataError(f"no frame of {source.path} could be tracked: "
                            f"{recorder.results[-1].reason}")
        return _write_results(
            source, config, out, recorder, save, elapsed_s, encoder, map_dir, sensor)


def half_the_cores() -> int:
    """Leave cores for decoding and mapping; more threads only wait for each other."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _play_every_frame(
    recorder: RunRecorder, source: Source, slam: Slam, progress: bool
) -> None:
    """Track every frame and learn each keyframe before the next frame."""
    bar = tqdm(source, total=len(source), desc="tracking", unit="frame", disable=not progress)
    for frame in bar:
        result = slam.process(frame)
        recorder.add(result, result.processing_ms, slam.tracking_cpu_ms)
        recorder.view.show(frame, result, slam.tracker.head)
        if progress:
            bar.set_postfix_str(
                f"{result.state.name} inliers {100 * result.inlier_ratio:.0f} % "
                f"keyframes {slam.mapper.keyframe_count}", refresh=False)
    recorder.gave_up = slam.tracker.gave_up


def _write_results(
    source: Source, config: SlamConfig, out: Path, recorder: RunRecorder, save: SaveMap,
    elapsed_s: float, encoder: Encoder, map_dir: Path | None, sensor: SensorChoice,
) -> RunSummary:
    """Write trajectories, map, plot and summary; return the summary."""
    estimate, raw = recorder.trajectory(), recorder.raw_trajectory()
    write_tum(out / "trajectory.txt", estimate)
    write_tum(out / "raw_trajectory.txt", raw)
    errors = _Errors.of(recorder, estimate, raw, source.groundtruth)
    if config.localization_only and map_dir is not None:
        manifest = load_map(map_dir).manifest
    else:
        manifest = save(out / "map", errors.T_groundtruth_map)
    plot_trajectory(out / "trajectory.png", estimate, source.groundtruth, raw, source.name)
    results = recorder.results
    duration_s = (results[-1].stamp_ns - results[0].stamp_ns) * 1e-9
    summary = RunSummary(
        source=str(source.path), frames=len(results) + recorder.skipped + source.skips.total,
        tracked=len(estimate), lost=len(results) - len(estimate), skipped=recorder.skipped,
        rejected=source.skips.total, keyframes=manifest.keyframes, ate_rmse_m=errors.ate_m,
        raw_ate_rmse_m=errors.raw_ate_m, rpe_trans_m_per_s=errors.rpe_m_per_s,
        latency_ms=Latency.of(recorder.latencies_ms),
        fps=len(results) / elapsed_s, realtime_factor=duration_s / elapsed_s,
        map_bytes=manifest.map_bytes, keyframe_bytes=manifest.keyframe_bytes,
        peak_rss_mb=peak_rss_mb(), weights_version=results[-1].weights_version,
        initialized_at_frame=recorder.first_tracked, device=str(encoder.device),
        config=flatten(config), version=__version__,
        extra={"nees": errors.nees,
               "gave_up": recorder.gave_up | {"head_share": recorder.head_share},
               "cpu_ms_per_frame": recorder.cpu_ms_per_frame,
               "longest_lost_s": recorder.longest_lost_s, "submaps": recorder.submaps,
               "stages_ms": recorder.median_stages(), "skips": source.skips.counts,
               "unjoined": recorder.unjoined, **source.summary(),
               "compared": errors.compared, "sensor": sensor.summary()})
    summary.write(out / "summary.json")
    return summary


class _Errors:
    """Errors against ground truth, NaN without; and where the map lies in its frame."""

    def __init__(self) -> None:
        self.ate_m = self.raw_ate_m = self.rpe_m_per_s = float("nan")
        self.nees: dict[str, float] = {}
        self.compared: dict[str, Any] = {}
        self.T_groundtruth_map: Float64Array | None = None

    @staticmethod
    def of(
        recorder: RunRecorder, estimate: Trajectory, raw: Trajectory,
        groundtruth: Trajectory | None,
    ) -> _Errors:
        """Compare the trajectories of a run."""
        errors = _Errors()
        if groundtruth is None:
            return errors
        found = absolute_trajectory_error(estimate, groundtruth)
        errors.ate_m = found.rmse_m
        errors.compared = compared(estimate, groundtruth, found.paired_N)
        if errors.compared["problem"]:
            log.warning("%s", errors.compared["problem"])
        errors.raw_ate_m = absolute_trajectory_error(raw, groundtruth).rmse_m
        errors.rpe_m_per_s = relative_pose_error(estimate, groundtruth).trans_rmse_m_per_s
        errors.nees = recorder.normalized_errors(groundtruth)
        if found.pairs >= 3:
            errors.T_groundtruth_map = found.T_groundtruth_map
        return errors
