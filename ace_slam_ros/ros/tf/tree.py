"""A transform tree with interpolation, fed by hand."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import DataError
from ...core.geometry.frame_names import frame_name
from ...core.geometry.se3 import exp_se3, invert_pose, log_se3, make_pose
from .interface import _NS, StampedTransform

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array


class TransformTree:
    """Frames with one parent each; ten seconds of moving transforms, static ones for ever.

    Answers as tf2's buffer does; one test runs over both.

    Any thread may call it: the executor's adds while the worker's looks up.
    """

    KEEP_NS = 10 * _NS
    #: Transforms kept of one frame, and frames: ten seconds at 1 kHz, and more than robots have.
    MOST_KEPT, MOST_FRAMES = 10_000, 1_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._static: dict[str, tuple[str, Float64Array]] = {}
        self._moving: dict[str, list[tuple[int, str, Float64Array]]] = {}

    def add(self, transform: StampedTransform, static: bool) -> None:
        """Store one transform; a stamp far behind the newest one starts the frame anew.

        A frame is what it was last said to be, static or moving; a transform with the stamp of
        another one takes its place.

        Raises:
            DataError: there are `MOST_FRAMES` others already.
        """
        entry = (transform.stamp_ns, frame_name(transform.parent), transform.T_parent_child)
        child = frame_name(transform.child)
        with self._lock:
            if len(self._static) + len(self._moving) >= self.MOST_FRAMES and (
                    child not in self._static and child not in self._moving):
                raise DataError(f"there are {self.MOST_FRAMES} frames in TF already")
            if static:
                self._moving.pop(child, None)
                self._static[child] = entry[1:]
                return
            self._static.pop(child, None)
            track = self._moving.setdefault(child, [])
            if track and transform.stamp_ns < track[-1][0] - self.KEEP_NS // 2:
                track.clear()
            place = bisect_left(track, transform.stamp_ns, key=lambda e: e[0])
            if place < len(track) and track[place][0] == transform.stamp_ns:
                track[place] = entry
            else:
                track.insert(place, entry)
            while (track[0][0] < track[-1][0] - self.KEEP_NS or len(track) > self.MOST_KEPT):
                del track[0]

    def clear(self) -> None:
        """Forget moving transforms; static ones stay."""
        with self._lock:
            self._moving.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source, interpolated; None when the frames are not connected then."""
        target, source = frame_name(target), frame_name(source)
        with self._lock:
            up_target, up_source = self._chain(target, stamp_ns), self._chain(source, stamp_ns)
        for frame, T_frame_source in up_source.items():
            if frame in up_target:
                return invert_pose(up_target[frame]) @ T_frame_source
        return None

    def newest_ns(self, target: str, source: str) -> int | None:
        """Return the newest stamp at which two frames are connected, 0 = always, None = never."""
        target, source = frame_name(target), frame_name(source)
        with self._lock:
            up_target, up_source = self._newest_chain(target), self._newest_chain(source)
        for frame, stamp_ns in up_source.items():
            if frame in up_target:
                known = [s for s in (stamp_ns, up_target[frame]) if s is not None]
                return min(known, default=0)
        return None

    def _newest_chain(self, frame: str) -> dict[str, int | None]:
        """Return {ancestor: newest common stamp on the way there, None = any}, nearest first."""
        chain: dict[str, int | None] = {frame: None}
        newest_ns: int | None = None
        while (step := self._newest_parent(frame)) is not None and step[0] not in chain:
            frame, stamp_ns = step
            if stamp_ns is not None:
                newest_ns = stamp_ns if newest_ns is None else min(newest_ns, stamp_ns)
            chain[frame] = newest_ns
        return chain

    def _newest_parent(self, child: str) -> tuple[str, int | None] | None:
        if child in self._static:
            return self._static[child][0], None
        track = self._moving.get(child)
        return (track[-1][1], track[-1][0]) if track else None

    def _chain(self, frame: str, stamp_ns: int) -> dict[str, Float64Array]:
        """Return {ancestor: T_ancestor_frame}, nearest first."""
        chain = {frame: np.eye(4)}
        T_top_frame = chain[frame]
        top = frame
        while (step := self._parent(top, stamp_ns)) is not None and step[0] not in chain:
            top, T_top_frame = step[0], step[1] @ T_top_frame
            chain[top] = T_top_frame
        return chain

    def _parent(self, child: str, stamp_ns: int) -> tuple[str, Float64Array] | None:
        if child in self._static:
            return self._static[child]
        track = self._moving.get(child, [])
        after = bisect_left(track, stamp_ns, key=lambda e: e[0])
        if after == len(track):
            return None
        later_ns, parent, T_later = track[after]
        if later_ns == stamp_ns:
            return parent, T_later
        if after == 0:
            return None
        earlier_ns, parent_before, T_earlier = track[after - 1]
        if parent_before != parent:
            return parent_before, T_earlier
        return parent, _between(T_earlier, T_later, (stamp_ns - earlier_ns) / (
            later_ns - earlier_ns))


def _between(T_earlier: Float64Array, T_later: Float64Array, part: float) -> Float64Array:
    """Interpolate as tf2 does: position on the straight line, rotation at a constant rate."""
    turn_6 = log_se3(make_pose(T_earlier[:3, :3].T @ T_later[:3, :3], np.zeros(3)))
    R_33 = T_earlier[:3, :3] @ exp_se3(part * turn_6)[:3, :3]
    return make_pose(R_33, (1.0 - part) * T_earlier[:3, 3] + part * T_later[:3, 3])
