"""Ground truth as it is recorded: what is good is used, what is not is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.data.trajectory import Trajectory
from ...core.errors import DataError
from ...core.geometry.se3 import pose_from_quaternion
from .text_lists import numbers, read_list

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

NOT_FINITE, NO_ROTATION = "not finite", "quaternion of zeros"
REPEATED, MALFORMED = "repeated stamp", "not eight numbers"
NO_MATRIX = "no rigid matrix"
#: Quaternions shorter than this are none; others are brought to length one.
_LEAST_QUATERNION = 1e-3
#: Rotations printed with three digits are as far from orthonormal as this.
_NOT_ORTHONORMAL = 0.01


@dataclass(frozen=True)
class GroundTruth:
    """True poses of a recording.

    Attributes:
        trajectory: the good poses in order of time; None when there is none.
        dropped: how many rows were left out, by reason.
    """

    trajectory: Trajectory | None = None
    dropped: dict[str, int] = field(default_factory=dict)


def clean(rows: Iterable[tuple[int, Float64Array]], dropped: Counter[str] | None = None) -> (
    GroundTruth
):
    """Make a trajectory of what is good.

    Args:
        rows: (stamp in ns, 7 numbers x y z qx qy qz qw) in any order.
        dropped: counts what was left out before.
    """
    dropped = Counter() if dropped is None else dropped
    poses: dict[int, Float64Array] = {}
    for stamp_ns, values_7 in rows:
        if not np.isfinite(values_7).all():
            dropped[NOT_FINITE] += 1
        elif np.linalg.norm(values_7[3:]) < _LEAST_QUATERNION:
            dropped[NO_ROTATION] += 1
        elif stamp_ns in poses:
            dropped[REPEATED] += 1
        else:
            q = values_7[3:] / np.linalg.norm(values_7[3:])
            poses[stamp_ns] = pose_from_quaternion(values_7[:3], q)
    if not poses:
        return GroundTruth(None, dict(dropped))
    return GroundTruth(
        Trajectory.of((stamp_ns, poses[stamp_ns]) for stamp_ns in sorted(poses)), dict(dropped))


def clean_matrices(rows: Iterable[tuple[int, Float64Array | None]]) -> GroundTruth:
    """Do as `clean` with matrices (4, 4) or what is None."""
    from scipy.spatial.transform import Rotation  # a live node comes by here, and needs none

    dropped, good = Counter[str](), []
    for stamp_ns, T_44 in rows:
        if T_44 is None:
            dropped[NO_MATRIX] += 1
        elif not np.isfinite(T_44).all():
            dropped[NOT_FINITE] += 1
        elif np.abs(T_44[:3, :3] @ T_44[:3, :3].T - np.eye(3)).max() > _NOT_ORTHONORMAL or (
                np.linalg.det(T_44[:3, :3]) < 0.0):
            dropped[NO_MATRIX] += 1
        else:
            turn = Rotation.from_matrix(T_44[:3, :3]).as_quat()
            good.append((stamp_ns, np.concatenate([T_44[:3, 3], turn])))
    return clean(good, dropped)


def read_groundtruth(path: Path) -> GroundTruth:
    """Read `stamp tx ty tz qx qy qz qw`, with qw first where the heading says so.

    Raises:
        DataError: the file cannot be read, or no row is good.
    """
    listed, dropped, first_bad = read_list(path), Counter[str](), ""
    order = _order(listed.heading)
    rows: list[tuple[int, Float64Array]] = []
    for row in listed.rows:
        try:
            values = np.array([float(v) for v in numbers(row.rest)[:7]])
            if len(values) < 7:
                raise ValueError("eight numbers are needed")
            rows.append((listed.stamp_ns(row), values[order]))
        except ValueError as error:
            first_bad = first_bad or f"{path}:{row.line}: {error}"
            reason = NOT_FINITE if "nan" in row.stamp.lower() else MALFORMED
            dropped[reason] += 1
    found = clean(rows, dropped)
    if found.trajectory is None and listed.rows:
        raise DataError(
            f"no pose of {path} is good: {_counted(found.dropped)}; "
            f"{first_bad or f'{path}:{listed.rows[0].line}'}: write 'stamp tx ty tz qx qy qz qw', "
            "or take the file away")
    return found


def _order(heading: str) -> list[int]:
    """Columns x y z qx qy qz qw among the seven after the stamp."""
    w, x = (re.search(rf"\bq\w*{letter}\b", heading) for letter in "wx")
    if w is not None and x is not None and w.start() < x.start():
        return [0, 1, 2, 4, 5, 6, 3]
    return list(range(7))


def _counted(dropped: dict[str, int]) -> str:
    return ", ".join(f"{n} x {reason}" for reason, n in dropped.items())
