"""What the witness's notes are worth: wrong poses, time without pose, memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ace_slam_ros.core.geometry.se3 import invert_pose, pose_error

from .witness import PoseHeard, StatusHeard

#: A pose farther from the truth is wrong.
WRONG_M = 0.2
_AGREES_M, _CANDIDATES = 0.05, 60
#: Two views that show the same place, for most of what they see.
_NEAR_M, _NEAR_RAD = 0.4, np.radians(20.0)
#: Longer than this between two statuses nobody tracks; a busy machine may skip some frames.
_SILENCE_S = 1.0
#: Shorter times are a frame or two beside an excuse.
_LEAST_S = 0.2


@dataclass
class Poses:
    """Published poses against the truth.

    Attributes:
        count: poses compared. wrong: (monotonic seconds, map, meters) of those that are wrong.
        unknown: poses of frames that the camera never sent.
        errors_m: all distances from the truth.
    """

    count: int = 0
    wrong: list[tuple[float, str, float]] = field(default_factory=list)
    unknown: int = 0
    errors_m: list[float] = field(default_factory=list)


def judge_poses(
    poses: Sequence[PoseHeard], statuses: Sequence[StatusHeard], sent: Mapping[int, int],
    truth: Sequence[Any],
) -> Poses:
    """Compare every pose with the truth, in the frame of its map.

    Args:
        poses, statuses: in order of arrival.
        sent: stamp -> number of the shot.
        truth: of each shot, T_world_cam (4, 4).
    """
    found, maps = Poses(), defaultdict[str, list[tuple[PoseHeard, Any]]](list)
    map_of = _MapOfPose(statuses)
    for pose in poses:
        if pose.stamp_ns not in sent:
            found.unknown += 1
        elif map_id := map_of(pose):
            maps[map_id].append((pose, truth[sent[pose.stamp_ns]]))
    for map_id, pairs in maps.items():
        T_world_map = _place_of_map(pairs)
        for pose, T_world_cam in pairs:
            error_m = float(np.linalg.norm(
                (T_world_map @ pose.T_map_cam)[:3, 3] - T_world_cam[:3, 3]))
            found.count += 1
            found.errors_m.append(error_m)
            if error_m > WRONG_M:
                found.wrong.append((pose.at_s, map_id, error_m))
    return found


class _MapOfPose:
    """Tells in which map a pose is: what the status of the same frame says."""

    def __init__(self, statuses: Sequence[StatusHeard]) -> None:
        self._all = statuses
        self._times = [s.at_s for s in statuses]
        self._by_stamp = defaultdict[int, list[StatusHeard]](list)
        for status in statuses:
            self._by_stamp[status.stamp_ns].append(status)

    def __call__(self, pose: PoseHeard) -> str:
        same = self._by_stamp.get(pose.stamp_ns)
        if same:
            return min(same, key=lambda s: abs(s.at_s - pose.at_s)).map_id
        # Its tracker was killed before it said so: it was in the map of the frame before.
        before = bisect_left(self._times, pose.at_s) - 1
        return self._all[before].map_id if before >= 0 else ""


def _place_of_map(pairs: Sequence[tuple[PoseHeard, Any]]) -> Any:
    """Return T_world_map with which most poses agree; a map's own frame is arbitrary."""
    step = max(len(pairs) // _CANDIDATES, 1)
    positions = np.array([p.T_map_cam[:3, 3] for p, _ in pairs])
    true = np.array([T[:3, 3] for _, T in pairs])

    def agree(T_world_map: Any) -> int:
        placed = positions @ T_world_map[:3, :3].T + T_world_map[:3, 3]
        return int((np.linalg.norm(placed - true, axis=1) < _AGREES_M).sum())

    candidates = [T @ invert_pose(p.T_map_cam) for p, T in pairs[::step]]
    return max(candidates, key=agree)


def without_pose_s(
    statuses: Sequence[StatusHeard], excused: Sequence[tuple[float, float]],
    sent: Mapping[int, int], truth: Sequence[Any],
) -> list[tuple[float, float, str]]:
    """Return the times without a pose that nothing excuses: (begin, end, reason given).

    A camera that sees a place for the first time in its map may be LOST; one that is where the
    same map gave a pose before may not, nor may the tracker say nothing at all.
    """
    known = _KnownPlaces(truth)
    found: list[tuple[float, float, str]] = []
    for before, after in zip(statuses, statuses[1:], strict=False):
        number = sent.get(before.stamp_ns)
        if before.tracked:
            known.add(before.map_id, number)
            if after.at_s - before.at_s < _SILENCE_S:
                continue
        silent = after.at_s - before.at_s > _SILENCE_S
        if not silent and not known.has(before.map_id, number):
            continue
        for begin_s, end_s in _outside(before.at_s, after.at_s, excused):
            if found and begin_s - found[-1][1] < 1e-6:
                found[-1] = found[-1][0], end_s, before.reason
            else:
                found.append((begin_s, end_s, "silence" if silent else before.reason))
    return [(a, b, why) for a, b, why in found if b - a > _LEAST_S]


class _KnownPlaces:
    """Shots that show a place where a map has given a pose."""

    def __init__(self, truth: Sequence[Any]) -> None:
        self._truth = truth
        self._seen = defaultdict[str, set[int]](set)
        self._near: dict[int, frozenset[int]] = {}

    def add(self, map_id: str, number: int | None) -> None:
        if number is not None:
            self._seen[map_id].add(number)

    def has(self, map_id: str, number: int | None) -> bool:
        return number is not None and bool(self._seen[map_id] & self._neighbors(number))

    def _neighbors(self, number: int) -> frozenset[int]:
        if number not in self._near:
            apart = (pose_error(T, self._truth[number]) for T in self._truth)
            self._near[number] = frozenset(
                i for i, (m, rad) in enumerate(apart) if m < _NEAR_M and rad < _NEAR_RAD)
        return self._near[number]


def _outside(
    begin_s: float, end_s: float, spans: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return the parts of a time that lie in no span."""
    parts = [(begin_s, end_s)]
    for left, right in spans:
        parts = [piece for a, b in parts for piece in ((a, min(b, left)), (max(a, right), b))
                 if piece[1] - piece[0] > 1e-9]
    return parts


def growth_percent(samples: Sequence[tuple[float, float]], warm_s: float) -> float:
    """Growth of a node's memory from the time after `warm_s` to the last of it, in percent.

    Args:
        samples: (seconds since the begin, 10^6 bytes); those of a node that was just started
            again are left out by who takes them.
        warm_s: nothing before counts.
    """
    late = [(t, m) for t, m in samples if t >= warm_s and m > 0.0]
    if len(late) < 4:
        return float("nan")
    third = max(len(late) // 3, 1)
    first, last = (float(np.median([m for _, m in part])) for part in (late[:third],
                                                                     late[-third:]))
    return 100.0 * (last / first - 1.0)
