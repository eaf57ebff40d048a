"""Trajectories: stamped poses, the TUM text format, association by time, interpolation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..geometry.se3 import pose_from_quaternion, quaternion_from_pose

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array, Int64Array


@dataclass(frozen=True)
class Trajectory:
    """Poses over time.

    Attributes:
        stamps_ns: (N,) int64, strictly increasing.
        T_map_cam_N44: (N, 4, 4) float64 camera-to-map poses.
    """

    stamps_ns: Int64Array
    T_map_cam_N44: Float64Array

    def __post_init__(self) -> None:
        if len(self.stamps_ns) != len(self.T_map_cam_N44):
            raise DataError("trajectory: as many stamps as poses are needed")
        if np.any(np.diff(self.stamps_ns) <= 0):
            raise DataError("trajectory: stamps must increase strictly")

    @staticmethod
    def of(stamped: Iterable[tuple[int, Float64Array]]) -> Trajectory:
        """Return the trajectory of (stamp in ns, T_map_cam (4, 4)), which may be none at all."""
        found = list(stamped)
        poses = np.stack([T for _, T in found]) if found else np.empty((0, 4, 4))
        return Trajectory(np.array([stamp_ns for stamp_ns, _ in found], np.int64), poses)

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def at(self, stamps_ns: Int64Array, max_gap_ns: int = 50_000_000) -> tuple[
        Float64Array, npt.NDArray[np.bool_]
    ]:
        """Interpolate (linear translation, spherical rotation) at query stamps.

        Args:
            stamps_ns: (M,) int64 query stamps.
            max_gap_ns: a query is invalid when both neighbors are further apart than twice this
                and neither lies within it, or when it lies outside the trajectory by more.

        Returns:
            (poses (M, 4, 4), valid (M,)); invalid rows hold the identity.
        """
        queries = np.asarray(stamps_ns, np.int64)
        poses = np.tile(np.eye(4), (len(queries), 1, 1))
        if len(self) == 0:
            return poses, np.zeros(len(queries), bool)
        after = np.clip(np.searchsorted(self.stamps_ns, queries), 0, len(self) - 1)
        before = np.clip(after - 1, 0, len(self) - 1)
        nearest = np.minimum(
            np.abs(self.stamps_ns[after] - queries), np.abs(self.stamps_ns[before] - queries)
        )
        valid = nearest <= max_gap_ns
        if len(self) == 1:
            poses[valid] = self.T_map_cam_N44[0]
            return poses, valid
        from scipy.spatial.transform import Rotation, Slerp  # a live node needs neither

        origin = int(self.stamps_ns[0])
        times = (self.stamps_ns - origin) * 1e-9
        wanted = np.clip((queries - origin) * 1e-9, times[0], times[-1])
        slerp = Slerp(times, Rotation.from_matrix(self.T_map_cam_N44[:, :3, :3]))
        found = slerp(wanted[valid]).as_matrix() if valid.any() else np.empty((0, 3, 3))
        poses[valid, :3, :3] = found
        for axis in range(3):
            poses[valid, axis, 3] = np.interp(
                wanted[valid], times, self.T_map_cam_N44[:, axis, 3]
            )
        return poses, valid


def read_tum(path: Path) -> Trajectory:
    """Read a trajectory in TUM format (`stamp tx ty tz qx qy qz qw`, seconds and meters).

    Raises:
        DataError: the file is missing or a line does not hold eight finite numbers.
    """
    stamped: list[tuple[int, Float64Array]] = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read trajectory {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].replace(",", " ").split()
        if not text:
            continue
        try:
            values = np.array([float(v) for v in text[1:8]])
            if len(text) < 8 or not np.isfinite(values).all():
                raise ValueError("eight finite numbers are needed")
            stamp = stamp_from_text(text[0])
            pose = pose_from_quaternion(values[:3], values[3:])
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from error
        if stamped and stamp <= stamped[-1][0]:
            continue  # recordings repeat a stamp now and then; the first one counts
        stamped.append((stamp, pose))
    return Trajectory.of(stamped)


def write_tum(path: Path, trajectory: Trajectory) -> None:
    """Write a trajectory in TUM format with nanosecond stamps."""
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for stamp, T_44 in zip(trajectory.stamps_ns, trajectory.T_map_cam_N44, strict=True):
        numbers = " ".join(f"{v:.7f}" for v in [*T_44[:3, 3], *quaternion_from_pose(T_44)])
        lines.append(f"{stamp_to_text(int(stamp))} {numbers}")
    path.write_text("\n".join(lines) + "\n")


def stamp_from_text(text: str) -> int:
    """Parse decimal seconds to integer nanoseconds without rounding through a float."""
    whole, _, fraction = text.partition(".")
    if not whole.lstrip("-").isdigit() or (fraction and not fraction.isdigit()):
        seconds = float(text)
        if not abs(seconds) < 2**63 * 1e-9:
            raise ValueError(f"stamp {text} is out of range")
        return int(round(seconds * 1e9))
    sign = -1 if whole.startswith("-") else 1
    stamp_ns = int(whole) * 1_000_000_000 + sign * int((fraction + "000000000")[:9])
    if abs(stamp_ns) >= 2**63:
        raise ValueError(f"stamp {text} is out of range")
    return stamp_ns


def stamp_to_text(stamp_ns: int) -> str:
    """Format integer nanoseconds as decimal seconds with nine digits."""
    sign = "-" if stamp_ns < 0 else ""
    seconds, rest = divmod(abs(stamp_ns), 1_000_000_000)
    return f"{sign}{seconds}.{rest:09d}"
