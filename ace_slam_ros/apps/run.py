"""The pipeline without ROS: run a recorded sequence through tracker and mapper, or relocalize it.

`--every-frame` runs tracker and mapper in turn on one thread and is deterministic; `--realtime`
plays the recording at its own speed, with the mapper in a thread beside the tracker.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import __version__
from ..core.config.fields import flatten
from ..core.config.sections import SlamConfig
from ..core.data.frame import Frame
from ..core.data.keyframe import Keyframe
from ..core.data.trajectory import write_tum
from ..core.encoders.base import Encoder
from ..core.encoders.loading import load_encoder
from ..core.errors import ConfigError, DataError
from ..core.mapping.mapper import Mapper
from ..core.maps.map_folder import load_map
from ..core.runtime.device import choose_device, set_threads
from ..core.runtime.memory import peak_rss_mb
from ..core.runtime.priority import MAPPER_NICENESS, give_way
from ..core.tracking.tracker import Tracker
from ..evaluation.plots import plot_trajectory
from ..evaluation.summary import Latency, RunSummary
from ..evaluation.trajectory_error import absolute_trajectory_error, relative_pose_error
from ..io.source import Source
from ..viewer.rerun_view import NoView, open_view
from .recorder import RunLog

log = logging.getLogger(__name__)


def run_sequence(
    source: Source, config: SlamConfig, out: Path, *, realtime: bool = False,
    map_dir: Path | None = None, progress: bool = True, view: str | None = None,
) -> RunSummary:
    """Track and map a recording; write trajectories, map, plot and summary to `out`.

    Args:
        source: recorded sequence.
        config: all parameters.
        out: existing folder for the results.
        realtime: play at the recording's speed, newest frame wins; else every frame in turn.
        map_dir: a map to continue (or to localize in, `ros.mode=localization`).
        progress: show a progress bar.
        view: show the run, see `view.open_view`; None = do not.

    Raises:
        DataError: no frame of the source is usable, or none could be tracked.
        MapError: `map_dir` cannot be used.
        ConfigError: localization without a map.
    """
    if config.ros.mode == "localization" and map_dir is None:
        raise ConfigError("ros.mode=localization needs a map to localize in: give --map")
    set_threads(config.encoder.threads or _half_the_cores())
    device = choose_device(config.device)
    encoder = load_encoder(config.encoder, device)
    encoder.warm_up(source.camera.width, source.camera.height)
    tracker = Tracker(config, encoder, live=realtime)
    mapper = Mapper(config, encoder, map_id=tracker.map_id)
    version = 0
    if map_dir is not None:
        payload = _open_map(mapper, map_dir, config, encoder)
        version = 1
        tracker.set_head(payload, version)
    started = time.perf_counter()
    log_ = RunLog(NoView() if view is None else open_view(view, config, encoder))
    play = _play_realtime if realtime else _play_every_frame
    play(log_, source, tracker, mapper, version, config, progress)
    log_.view.close()
    elapsed_s = time.perf_counter() - started
    if not log_.results:
        raise DataError(f"no usable frame in {source.path}: {source.skips.summary()}")
    if log_.first_tracked is None:
        raise DataError(f"no frame of {source.path} could be tracked: {log_.results[-1].reason}")
    log_.gave_up = tracker.gave_up
    return _write_results(source, config, out, log_, mapper, elapsed_s, encoder, map_dir)


def _half_the_cores() -> int:
    """Leave cores for decoding and mapping; more threads only wait for each other."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _open_map(mapper: Mapper, map_dir: Path, config: SlamConfig, encoder: Encoder) -> bytes:
    """Return the head blob of a map; in mapping mode the mapper continues it."""
    if config.ros.mode == "localization":
        return load_map(map_dir, encoder_hash=encoder.hash).head
    mapper.load(map_dir)
    return mapper.export_head()


def _play_every_frame(
    run: RunLog, source: Source, tracker: Tracker, mapper: Mapper, version: int,
    config: SlamConfig, progress: bool,
) -> None:
    """Track every frame and let the mapper finish each keyframe before the next frame."""
    bar = tqdm(source, total=len(source), desc="tracking", unit="frame", disable=not progress)
    for frame in bar:
        result = tracker.process(frame)
        run.add(result, result.processing_ms)
        run.view.show(frame, result, tracker.head)
        if result.for_mapper and config.ros.mode == "mapping":
            for keyframe in result.for_mapper:
                mapper.add_keyframe(keyframe, tracker.map_id)
            if mapper.work(float("inf")):
                version += 1
                tracker.set_head(mapper.export_head(), version)
        if progress:
            bar.set_postfix_str(
                f"{result.state.name} inliers {100 * result.inlier_ratio:.0f} % "
                f"keyframes {mapper.keyframe_count}", refresh=False)


class _NewestSlot:
    """Hand-over of one item between threads: the newest wins, replaced ones are counted."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: tuple[Frame, float] | None = None
        self._closed = False
        self.replaced = 0
        self.error: Exception | None = None

    def put(self, frame: Frame, due: float) -> bool:
        """Wait until the frame is due and store it; False when the slot is closed."""
        with self._condition:
            while not self._closed and (left_s := due - time.perf_counter()) > 0.0:
                self._condition.wait(left_s)
            if not self._closed:
                self.replaced += self._item is not None
                self._item = (frame, time.perf_counter())
                self._condition.notify_all()
            return not self._closed

    def close(self, error: Exception | None = None) -> None:
        """Let the other side know that no more comes, or is wanted."""
        with self._condition:
            self._closed, self.error = True, self.error or error
            self._condition.notify_all()

    def take(self) -> tuple[Frame, float] | None:
        """Wait for an item; None when closed and empty."""
        with self._condition:
            while self._item is None and not self._closed:
                self._condition.wait()
            item, self._item = self._item, None
            return item


def _play_realtime(
    run: RunLog, source: Source, tracker: Tracker, mapper: Mapper, version: int,
    config: SlamConfig, progress: bool,
) -> None:
    """Deliver frames when they are due; a frame not taken before the next one is skipped."""
    gc.collect()
    gc.freeze()  # what is loaded stays: searching it for garbage would stall frames
    slot = _NewestSlot()
    worker = _MapperThread(mapper, version, config)
    worker.start()
    feeder = threading.Thread(target=_feed, args=(source, slot), name="camera", daemon=True)
    feeder.start()
    bar = tqdm(total=len(source), desc="tracking", unit="frame", disable=not progress)
    answered: list[float] = []
    try:
        while (item := slot.take()) is not None:
            frame, arrived = item
            update = worker.take_head()
            if update is not None:
                tracker.set_head(*update)
            answered.clear()
            result = tracker.process(
                frame, lambda *_: answered.append(time.perf_counter()),
                late_ms=(time.perf_counter() - arrived) * 1e3)
            answered.append(time.perf_counter())
            run.add(result, (answered[0] - arrived) * 1e3)
            run.view.show(frame, result, tracker.head)
            for keyframe in result.for_mapper if config.ros.mode == "mapping" else ():
                worker.put(keyframe, tracker.map_id)
            bar.update(1 + slot.replaced - run.skipped)
            run.skipped = slot.replaced
    finally:
        bar.close()
        slot.close()
        feeder.join()  # a thread that still decodes would abort the interpreter's end
        worker.stop()
    if slot.error is not None:
        raise slot.error
    run.skipped = slot.replaced


def _feed(source: Source, slot: _NewestSlot) -> None:
    """Decode the recording and put each frame when it is due."""
    try:
        started, first_ns = 0.0, 0
        for frame in source:
            if not started:
                started, first_ns = time.perf_counter(), frame.stamp_ns
            if not slot.put(frame, started + (frame.stamp_ns - first_ns) * 1e-9):
                return
        slot.close()
    except Exception as error:  # handed to the main thread, which raises it
        slot.close(error)


class _MapperThread:
    """The mapper beside the tracker; a failure is raised by `stop`."""

    def __init__(self, mapper: Mapper, version: int, config: SlamConfig) -> None:
        self._mapper, self._version = mapper, version
        self._budget_s = config.mapper.budget_ms * 1e-3
        self._condition = threading.Condition()
        self._inbox: list[tuple[Keyframe, str]] = []
        self._head: tuple[bytes, int] | None = None
        self._stopping = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._loop, name="mapper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, keyframe: Keyframe, map_id: str) -> None:
        with self._condition:
            self._inbox.append((keyframe, map_id))
            self._condition.notify()

    def take_head(self) -> tuple[bytes, int] | None:
        """Return weights newer than the last ones taken."""
        with self._condition:
            head, self._head = self._head, None
            return head

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _loop(self) -> None:
        give_way(MAPPER_NICENESS)
        try:
            while True:
                with self._condition:
                    while not (self._inbox or self._mapper.wants_work or self._stopping):
                        self._condition.wait()
                    arrived, self._inbox = self._inbox, []
                    if self._stopping and not (arrived or self._mapper.backlog):
                        return
                for keyframe, map_id in arrived:
                    self._mapper.add_keyframe(keyframe, map_id)
                if self._mapper.work(self._budget_s):
                    self._version += 1
                    head = (self._mapper.export_head(), self._version)
                    with self._condition:
                        self._head = head
        except Exception as error:  # raised again by stop()
            self._error = error


def _write_results(
    source: Source, config: SlamConfig, out: Path, run: RunLog, mapper: Mapper, elapsed_s: float,
    encoder: Encoder, map_dir: Path | None,
) -> RunSummary:
    """Write trajectories, map, plot and summary; return the summary."""
    estimate = run.trajectory(lambda r: r.T_map_cam)
    raw = run.trajectory(lambda r: r.T_map_cam_raw)
    write_tum(out / "trajectory.txt", estimate)
    write_tum(out / "raw_trajectory.txt", raw)
    nan = float("nan")
    ate = raw_ate = rpe = nan
    nees: dict[str, float] = {}
    T_groundtruth_map = None
    if source.groundtruth is not None:
        result = absolute_trajectory_error(estimate, source.groundtruth)
        ate, T_groundtruth_map = result.rmse_m, result.T_groundtruth_map
        raw_ate = absolute_trajectory_error(raw, source.groundtruth).rmse_m
        nees = run.normalized_errors(source.groundtruth)
        rpe = relative_pose_error(estimate, source.groundtruth).trans_rmse_m_per_s
        if result.pairs < 3:
            T_groundtruth_map = None
    if config.ros.mode == "localization" and map_dir is not None:
        manifest = load_map(map_dir).manifest
    else:
        manifest = mapper.save(out / "map", T_groundtruth_map)
    plot_trajectory(out / "trajectory.png", estimate, source.groundtruth, raw, source.name)
    duration_s = (run.results[-1].stamp_ns - run.results[0].stamp_ns) * 1e-9
    summary = RunSummary(
        source=str(source.path), frames=len(run.results) + run.skipped + source.skips.total,
        tracked=len(estimate), lost=len(run.results) - len(estimate), skipped=run.skipped,
        rejected=source.skips.total, keyframes=manifest.keyframes, ate_rmse_m=ate,
        raw_ate_rmse_m=raw_ate, rpe_trans_m_per_s=rpe, latency_ms=Latency.of(run.latencies_ms),
        fps=len(run.results) / elapsed_s, realtime_factor=duration_s / elapsed_s,
        map_bytes=manifest.map_bytes, keyframe_bytes=manifest.keyframe_bytes,
        peak_rss_mb=peak_rss_mb(), weights_version=run.results[-1].weights_version,
        initialized_at_frame=run.first_tracked, device=str(encoder.device),
        config=flatten(config), version=__version__,
        extra={"nees": nees, "gave_up": run.gave_up, "stages_ms": _median_stages(run),
               "skips": source.skips.counts, "unjoined": run.unjoined})
    summary.write(out / "summary.json")
    return summary


def _median_stages(run: RunLog) -> dict[str, float]:
    """Return the median time of each stage over the frames that had it."""
    names = sorted({name for r in run.results for name in r.stages_ms})
    return {name: round(float(np.median(
        [r.stages_ms[name] for r in run.results if name in r.stages_ms])), 2) for name in names}


