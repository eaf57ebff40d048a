"""One map on two devices: how long a frame takes on each, and whether both say the same of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.base import Encoder
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.torch_codebook import TorchCodebook
from ace_slam_ros.core.geometry.se3 import invert_pose, log_se3
from ace_slam_ros.core.heads.factory import load_head
from ace_slam_ros.core.localization.device.localizer import DeviceLocalizer, network_of
from ace_slam_ros.core.localization.localizer import Localizer

from .report import Report

#: Bars of a device against the CPU in single precision. Half precision moves a descriptor by a
#: cosine of 0.001, which gives one of some thirty another word; the pose is that of other draws.
LEAST_COSINE, SAME_SEARCH, SAME_WORDS, SAME_FOUND = 0.999, 0.999, 0.95, 0.97
POSE_M, POSE_DEG = 0.005, 0.3
#: Time on a GPU, milliseconds: the encoder alone, and all that a look of the head takes.
ENCODER_MS, FRAME_MS = 1.0, 10.0
#: The same as one CUDA graph: encoder, prediction and pose together, and the frame.
WORK_MS, WHOLE_FRAME_MS = 2.0, 5.0


@dataclass(frozen=True)
class Side:
    """An encoder and a localizer with a map, on a device."""

    encoder: Encoder
    localizer: Localizer

    @staticmethod
    def of(
        config: SlamConfig, head: bytes, device: torch.device, precision: str,
        as_a_whole: bool | None = None,
    ) -> Side:
        """Load the encoder and exported head weights.

        Args:
            config: parameters; those of precision and device do not matter.
            head: what `Mapper.export_head` returns.
            device: where encoder and head shall live.
            precision: of the encoder: auto, fp32, bf16.
            as_a_whole: see `Localizer`; stages are timed where that is false.
        """
        encoder = load_encoder(replace(config.encoder, precision=precision), device)
        localizer = Localizer(config, encoder, as_a_whole)
        localizer.head = load_head(head, encoder, config).head
        return Side(encoder, localizer)

    def synchronize(self) -> None:
        """Wait until the device has done what it was told."""
        if self.encoder.device.type == "cuda":
            torch.cuda.synchronize(self.encoder.device)


def stage_times_ms(
    side: Side, frames: Sequence[Frame], rounds: int
) -> dict[str, dict[str, float]]:
    """Time the stages of a look of the head at frames.

    Args:
        side: whose time is taken.
        frames: looked at in turn.
        rounds: how often; one more goes before and does not count.

    Returns:
        {stage: {"median", "p95"}} in milliseconds: `encoder`, `describe` (with the choice of
        features), `prediction`, `pose` (what `Localizer.localize` takes beyond the prediction),
        and `frame`, which is `Localizer.describe` and `localize` in one go.
    """
    localizer, spent = side.localizer, dict[str, list[float]]()
    assert localizer.head is not None

    def timed(stage: str, call: Callable[[], Any]) -> Any:
        side.synchronize()
        start = time.perf_counter()
        result = call()
        side.synchronize()
        spent.setdefault(stage, []).append((time.perf_counter() - start) * 1e3)
        return result

    for number in range(rounds + 1):
        if number == 1:
            spent.clear()
        for frame in frames:
            gray, head = frame.gray, localizer.head
            timed("encoder", lambda gray=gray: side.encoder.describe(gray))
            features = timed("describe", lambda frame=frame: localizer.describe(frame))
            timed("prediction", lambda features=features, head=head: head.predict(
                features.descriptors_ND))
            timed("localize", lambda features=features: localizer.localize(features, 0, False))
            timed("frame", lambda frame=frame: localizer.localize(
                localizer.describe(frame), 0, False))
    pose = np.array(spent.pop("localize")) - spent["prediction"]
    spent["pose"] = list(np.maximum(pose, 0.0))
    return {stage: {"median": float(np.median(ms)), "p95": float(np.percentile(ms, 95))}
            for stage, ms in spent.items()}


def whole_times_ms(
    config: SlamConfig, side: Side, frames: Sequence[Frame], rounds: int, record: bool
) -> dict[str, Any]:
    """Time frames that are localized on the device as a whole.

    Args:
        config: parameters.
        side: its encoder and head.
        frames, rounds: see `stage_times_ms`.
        record: whether as a CUDA graph.

    Returns:
        {"median", "p95"} in milliseconds of `work` (encoder, prediction and pose, once the image
        is there) and of `frame` (image to the device, work, pose from there), and `recorded`.
    """
    network, head = network_of(side.encoder, config), side.localizer.head
    assert network is not None
    localizer = DeviceLocalizer(config, network, record)
    assert localizer.use_head(head)
    spent: dict[str, list[float]] = {"work": [], "frame": []}
    for number in range(rounds + 1):
        for frame in frames:
            localizer.upload(frame)
            side.synchronize()
            start = time.perf_counter()
            localizer.work()
            side.synchronize()
            worked = time.perf_counter()
            features = localizer.describe(frame)
            assert features is not None
            localizer.localize(features, 0)
            if number > 0:
                spent["work"].append((worked - start) * 1e3)
                spent["frame"].append((time.perf_counter() - worked) * 1e3)
    times: dict[str, Any] = {
        stage: {"median": float(np.median(ms)), "p95": float(np.percentile(ms, 95))}
        for stage, ms in spent.items()}
    return times | {"recorded": localizer.recorded}


def agreement(reference: Side, other: Side, frames: Sequence[Frame]) -> dict[str, Any]:
    """Compare what two sides say of frames.

    Returns:
        `cosine_least`, `cosine_mean` of descriptors; `same_search`, share of descriptors whose
        nearest word both find, given the same descriptors; `same_words`, given their own;
        `frames`; `same_found`, share of frames that both find a pose of, or neither;
        `both_found`; `pose_m`, `pose_deg`: median and largest difference of poses.
    """
    cosines, searched, words, found, poses = [], [], [], [], []
    for frame in frames:
        ours, theirs = (side.localizer.describe(frame) for side in (reference, other))
        cosines.append((ours.descriptors_ND * theirs.descriptors_ND).sum(1))
        word_n = _words(reference, ours.descriptors_ND)
        searched.append(word_n == _words(other, ours.descriptors_ND))
        words.append(word_n == _words(other, theirs.descriptors_ND))
        a = reference.localizer.localize(ours, 0, False)
        b = other.localizer.localize(theirs, 0, False)
        found.append((a is None) == (b is None))
        if a is not None and b is not None:
            twist = log_se3(invert_pose(a.T_map_cam) @ b.T_map_cam)
            poses.append((float(np.linalg.norm((invert_pose(a.T_map_cam) @ b.T_map_cam)[:3, 3])),
                          float(np.degrees(np.linalg.norm(twist[3:])))))
    cosine, moved = np.concatenate(cosines), np.array(poses).reshape(-1, 2)
    figures = {
        "cosine_least": float(cosine.min()), "cosine_mean": float(cosine.mean()),
        "same_search": float(np.concatenate(searched).mean()),
        "same_words": float(np.concatenate(words).mean()),
        "frames": len(frames), "same_found": float(np.mean(found)), "both_found": len(moved)}
    for column, name in enumerate(("pose_m", "pose_deg")):
        figures[name] = {"median": float(np.median(moved[:, column])),
                         "largest": float(moved[:, column].max())} if len(moved) else None
    return figures


def _words(side: Side, descriptors_ND: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    """Nearest word (N,) of each descriptor, by the search that the side's device has."""
    device = side.encoder.device
    codebook = TorchCodebook(side.encoder.codebook, device)
    return codebook.nearest(torch.from_numpy(descriptors_ND).to(device), 1)[:, 0].cpu().numpy()


def check_agreement(report: Report, figures: dict[str, Any]) -> None:
    """Compare what `agreement` returns with the bars."""
    report.at_least("least cosine of descriptors to the CPU's", figures["cosine_least"],
                    LEAST_COSINE)
    report.at_least("same word of the same descriptor", figures["same_search"], SAME_SEARCH)
    report.at_least("same word of the same cell", figures["same_words"], SAME_WORDS)
    report.at_least("frames found, or not, like on the CPU", figures["same_found"], SAME_FOUND)
    report.at_least("share of frames that both find", figures["both_found"] / figures["frames"],
                    0.5)
    for name, unit, bar in (("pose_m", "m", POSE_M), ("pose_deg", "deg", POSE_DEG)):
        apart = figures[name]
        report.at_most(f"median difference of poses, {unit}",
                       None if apart is None else apart["median"], bar)


def check_times(report: Report, times_ms: dict[str, dict[str, float]]) -> None:
    """Compare what `stage_times_ms` returns of a GPU with the bars."""
    report.at_most("encoder, median ms", times_ms["encoder"]["median"], ENCODER_MS)
    report.at_most("frame, median ms", times_ms["frame"]["median"], FRAME_MS)


def check_whole_times(report: Report, times_ms: dict[str, Any]) -> None:
    """Compare what `whole_times_ms` returns of a CUDA graph with the bars."""
    report.at_least("recorded as a CUDA graph", float(times_ms["recorded"]), 1.0)
    report.at_most("encoder, prediction and pose as one graph, median ms",
                   times_ms["work"]["median"], WORK_MS)
    report.at_most("frame with one graph, median ms", times_ms["frame"]["median"],
                   WHOLE_FRAME_MS)
