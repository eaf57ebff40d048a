"""What describing a frame costs, stage by stage, in CPU time of one thread.

Every frame is described in turn by each contender, after OpenCV's ORB saw the same frame: its time
is the yardstick, and it clears the caches as the rest of a tracker does.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.base import Encoder
from ace_slam_ros.core.encoders.extraction import chosen_cells, extract_features
from ace_slam_ros.core.runtime.steps import SteppedTask


class _Clock:
    """CPU time of this thread and of the whole process, since the last lap."""

    def __init__(self) -> None:
        self.lap()

    def lap(self) -> tuple[float, float]:
        """Return (milliseconds of the thread, of the process) since the last call."""
        now = np.array([time.thread_time(), time.process_time()])
        spent, self._last = now - getattr(self, "_last", now), now
        return tuple(spent * 1e3)


def stage_times(
    encoders: dict[str, Encoder], frames: Sequence[Frame], config: SlamConfig, rounds: int
) -> dict[str, dict[str, float]]:
    """Time the stages of each encoder.

    Returns:
        {encoder: {stage: median CPU ms of the thread}}. Stages: "choose cells"; "step 1" and so on
        of the encoder; "frame", all of them at once; "frame, all threads", the same of the
        process; "yardstick", ORB(1000); and "frame / yardstick".
    """
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        orb = cv2.ORB_create(1000)
        spent: dict[str, dict[str, list[float]]] = {
            name: defaultdict(list) for name in encoders}
        for k in range(-1, rounds):
            for frame in frames:
                for name, encoder in encoders.items():
                    laps = _one_frame(orb, encoder, frame, config)
                    for stage, ms in laps.items() if k >= 0 else ():
                        spent[name][stage].append(ms)
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    medians = {name: {stage: float(np.median(ms)) for stage, ms in stages.items()}
               for name, stages in spent.items()}
    for stages in medians.values():
        stages["frame / yardstick"] = stages["frame"] / stages["yardstick"]
    return medians


def _one_frame(
    orb: cv2.ORB, encoder: Encoder, frame: Frame, config: SlamConfig
) -> dict[str, float]:
    clock = _Clock()
    orb.detectAndCompute(frame.gray, None)
    found = {"yardstick": clock.lap()[0]}
    extract_features(encoder, frame, config.features, config.sensor)
    found["frame"], found["frame, all threads"] = clock.lap()
    orb.detectAndCompute(frame.gray, None)
    clock.lap()
    cells, _ = chosen_cells(frame, encoder.stride, config.features, config.sensor)
    found["choose cells"] = clock.lap()[0]
    work = SteppedTask(encoder.describe_cells_in_steps(frame.gray, cells))
    steps = 0
    while work.result is None:
        work.step()
        steps += 1
        found[f"step {steps}"] = clock.lap()[0]
    return found
