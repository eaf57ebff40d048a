"""Figures, tables and checks of the demonstration; nothing here needs live nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..apps.reporting import Row, run_rows
from ..core.geometry.se3 import pose_error
from ..evaluation.trajectory_error import align_se3

if TYPE_CHECKING:
    from ..core.data.trajectory import Trajectory
    from ..core.geometry.arrays import Float64Array
    from ..evaluation.summary import RunSummary

GOOD_TRANS_M, GOOD_ROT_DEG = 0.05, 3.0


@dataclass(frozen=True)
class Limits:
    """What the demonstration must reach; None is not checked.

    Attributes:
        ate_m: largest trajectory error.
        relocalizations: least number within 5 cm and 3 deg.
        tracked_share: least share of the received frames with a pose.
    """

    ate_m: float | None = None
    relocalizations: int | None = None
    tracked_share: float | None = None


@dataclass(frozen=True)
class Answer:
    """One relocalization of the demonstration.

    Attributes:
        stamp: of the frame, nanoseconds.
        success: the node was confident.
        trans_m, rot_deg: error; None without an answer or reference.
        latency_ms: from request to answer.
        inlier_ratio: the node's confidence.
        weights_version: of the head that answered.
        message: why not, when not.
    """

    stamp: int
    success: bool
    trans_m: float | None
    rot_deg: float | None
    latency_ms: float
    inlier_ratio: float
    weights_version: int
    message: str

    @property
    def good(self) -> bool:
        """True when confident and within 5 cm and 3 degrees."""
        return (
            self.success and self.trans_m is not None and self.rot_deg is not None
            and self.trans_m <= GOOD_TRANS_M and self.rot_deg <= GOOD_ROT_DEG)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `summary.json`."""
        return asdict(self)


@dataclass(frozen=True)
class Check:
    """One requirement and whether it was met."""

    name: str
    detail: str
    passed: bool


class Reference:
    """Where the camera truly was, in the frame of the ground truth.

    Without ground truth the tracked trajectory takes its place: then the errors say how well
    relocalization agrees with tracking. With it, the map is aligned by whole poses: positions
    alone leave the rotation open when the camera hardly moved.
    """

    def __init__(self, estimate: Trajectory, groundtruth: Trajectory | None) -> None:
        self._truth = estimate if groundtruth is None else groundtruth
        self._T_truth_map = np.eye(4)
        if groundtruth is not None:
            self._T_truth_map = _align_poses(estimate, groundtruth)

    def knows(self, stamp_ns: int) -> bool:
        """Tell whether there is a pose for a stamp."""
        return bool(self._truth.at(np.array([stamp_ns]))[1][0])

    def pose(self, stamp_ns: int) -> Float64Array:
        """Return the reference pose at a stamp."""
        return np.asarray(self._truth.at(np.array([stamp_ns]))[0][0])

    def error(self, stamp_ns: int, T_map_cam: Float64Array) -> tuple[float, float]:
        """Return the error of a pose: (meters, degrees)."""
        meters, radians = pose_error(self.pose(stamp_ns), self._T_truth_map @ T_map_cam)
        return meters, float(np.degrees(radians))


def _align_poses(estimate: Trajectory, groundtruth: Trajectory) -> Float64Array:
    """Return T_truth_map (4, 4) that brings camera centers and points 1 m off them together."""
    true_N44, valid_N = groundtruth.at(estimate.stamps_ns)
    if not valid_N.any():
        return np.eye(4)
    corners_44 = np.vstack([np.hstack([np.zeros((3, 1)), np.eye(3)]), np.ones((1, 4))])
    points = [(T_N44[valid_N] @ corners_44)[:, :3].transpose(0, 2, 1).reshape(-1, 3)
              for T_N44 in (estimate.T_map_cam_N44, true_N44)]
    return align_se3(points[0], points[1])


def choose_places(
    stamps_ns: Sequence[int], keyframe_stamps: set[int], reference: Reference, count: int,
    seed: int,
) -> list[int]:
    """Choose frames to relocalize: random, one from each `count`-th part of the sequence.

    Frames with a reference pose that were no keyframe come first: the map has not learnt them.

    Returns:
        Indices into `stamps_ns`, increasing; fewer than `count` when there are not enough.
    """
    random = np.random.default_rng(seed)
    known = [i for i, stamp in enumerate(stamps_ns) if reference.knows(int(stamp))]
    chosen = []
    for part in np.array_split(np.array(known, int), count):
        held_out = [i for i in part if int(stamps_ns[i]) not in keyframe_stamps]
        pool = held_out or list(part)
        if pool:
            chosen.append(int(random.choice(pool)))
    return chosen


def checks(summary: RunSummary, answers: Sequence[Answer], limits: Limits) -> list[Check]:
    """Compare a run with what it must reach."""
    found = [Check("tracking", f"{summary.tracked} frames tracked", summary.tracked > 0)]
    if limits.ate_m is not None:
        ate = summary.ate_rmse_m
        found.append(Check(
            "trajectory", f"ATE {100 * ate:.2f} cm, at most {100 * limits.ate_m:g} cm",
            bool(ate <= limits.ate_m)))
    if limits.relocalizations is not None:
        good = sum(answer.good for answer in answers)
        found.append(Check(
            "relocalization",
            f"{good} of {len(answers)} within {100 * GOOD_TRANS_M:g} cm and {GOOD_ROT_DEG:g} deg, "
            f"at least {limits.relocalizations}", good >= limits.relocalizations))
    if limits.tracked_share is not None:
        received = summary.tracked + summary.lost
        share = summary.tracked / received if received else 0.0
        found.append(Check(
            "tracked share", f"{100 * share:.1f} % of the processed frames, at least "
            f"{100 * limits.tracked_share:g} %", share >= limits.tracked_share))
    return found


def result_rows(summary: RunSummary) -> list[Row]:
    """Return the table of the live run."""
    tree = summary.to_dict()
    rows = run_rows(tree)
    place = 1 + next(i for i, row in enumerate(rows) if row[0] == "rejected")
    if tree["undelivered"]:
        rows.insert(place, ("undelivered", tree["undelivered"], "", "lost between processes"))
    place = 1 + next(i for i, row in enumerate(rows) if row[0] == "latency p95")
    rows.insert(place, (
        "tracker CPU", round(tree["tracker_cpu_ms"], 1), "ms", "processor time per frame"))
    versions = tree["weights_versions"]
    rows += [
        ("weights", versions["tracker"], "", "version the tracker used last"),
        ("", versions["relocalizer"], "", "version the relocalizer answered with"),
    ]
    return rows


def answer_rows(answers: Sequence[Answer], start_ns: int) -> list[list[str]]:
    """Return the table of relocalizations, under `ANSWER_HEADER`."""
    rows = []
    for number, answer in enumerate(answers, 1):
        said = "ok" if answer.good else answer.message or "off"
        error = ["-".rjust(8), "-".rjust(9)]
        if answer.trans_m is not None and answer.rot_deg is not None:
            error = [f"{100 * answer.trans_m:8.1f}", f"{answer.rot_deg:9.2f}"]
        rows.append([
            f"{number:2d}", f"{(answer.stamp - start_ns) * 1e-9:6.1f}", *error,
            f"{100 * answer.inlier_ratio:9.0f}", f"{answer.latency_ms:10.1f}", said])
    return rows


ANSWER_HEADER = (" #", "  at s", "error cm", "error deg", "inliers %", "latency ms", "")
