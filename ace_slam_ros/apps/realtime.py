"""A recording played at its own speed, or a live camera, as on a robot.

The tracker runs here, the mapper in its own process.
"""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from ..core.runtime.newest_slot import NewestSlot
from ..core.tracking.scheduler import BETWEEN_FRAMES_S
from ..core.tracking.tracker import Tracker
from ..io.source import known_length

if TYPE_CHECKING:
    from ..core.config.sections import SlamConfig
    from ..core.data.frame import Frame
    from ..core.encoders.base import Encoder
    from ..io.source import Source
    from .mapper_process import MapperProcess
    from .recorder import RunRecorder


@dataclass(frozen=True)
class _Arrived:
    """A frame and the time (`time.monotonic`) at which the camera delivered it."""

    frame: Frame
    at_s: float


class _Camera:
    """Decodes a recording in a thread and delivers each frame when it is due; newest wins.

    A live camera's frames are due when they come.
    """

    def __init__(self, source: Source, rate: float) -> None:
        self._source, self._rate = source, rate
        self._stop = threading.Event()
        self._error: Exception | None = None
        self.slot: NewestSlot[_Arrived] = NewestSlot()
        self._thread = threading.Thread(target=self._feed, name="camera", daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        try:
            started_s, first_ns = 0.0, 0
            for frame in self._source:
                if not started_s:
                    started_s, first_ns = time.monotonic(), frame.stamp_ns
                due_s = started_s + (frame.stamp_ns - first_ns) * 1e-9 / self._rate
                wait_s = 0.0 if self._source.is_live else max(0.0, due_s - time.monotonic())
                if self._stop.wait(wait_s):
                    return
                self.slot.put(_Arrived(frame, time.monotonic()))
        except Exception as error:  # raised again by close()
            self._error = error
        finally:
            self.slot.close()

    def close(self) -> None:
        """Stop; raise what went wrong while decoding."""
        self._stop.set()
        self._thread.join()  # a thread that still decodes would abort the interpreter's end
        if self._error is not None:
            raise self._error


def play_realtime(
    recorder: RunRecorder, source: Source, mapper: MapperProcess, encoder: Encoder,
    config: SlamConfig, progress: bool, rate: float = 1.0,
) -> None:
    """Track the newest frame again and again until the source ends; a recording at a rate.

    Raises:
        MapperProcessError: the mapper ended.
        DataError: the recording cannot be decoded.
        CameraError: a live camera delivers nothing.
    """
    tracker = Tracker(config, encoder)
    gc.collect()
    gc.freeze()  # what is loaded stays: searching it for garbage would stall frames
    camera = _Camera(source, rate)
    bar = tqdm(total=known_length(source), desc="tracking", unit="frame", disable=not progress)
    try:
        while not camera.slot.ended:
            arrived = camera.slot.take(BETWEEN_FRAMES_S)
            head = mapper.newer_head()
            if head is not None:
                tracker.set_head(*head)
            if arrived is None:
                continue
            cpu_s = time.thread_time()
            result = tracker.track(arrived.frame)
            answered_s = time.monotonic()
            result = result.with_work(tracker.work(config.tracker.deadline_s(arrived.at_s)))
            cpu_ms = (time.thread_time() - cpu_s) * 1e3
            mapper.put(result.keyframes, result.map_id)
            recorder.add(result, (answered_s - arrived.at_s) * 1e3, cpu_ms)
            recorder.view.show(arrived.frame, result, tracker.head)
            bar.update(1 + camera.slot.replaced - recorder.skipped)
            recorder.skipped = camera.slot.replaced
    finally:
        bar.close()
        camera.close()
        gc.unfreeze()
    recorder.gave_up = tracker.gave_up
