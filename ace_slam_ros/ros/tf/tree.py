"""A transform tree with interpolation, fed by hand."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort

import numpy as np

from ...core.geometry.arrays import Float64Array
from ...core.geometry.se3 import exp_se3, invert_pose, log_se3
from .interface import _NS, StampedTransform


class TransformTree:
    """Frames with one parent each; ten seconds of moving transforms, static ones for ever.

    Any thread may call it: the executor's adds while the worker's looks up.
    """

    KEEP_NS = 10 * _NS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._static: dict[str, tuple[str, Float64Array]] = {}
        self._moving: dict[str, list[tuple[int, str, Float64Array]]] = {}

    def add(self, transform: StampedTransform, static: bool) -> None:
        """Store one transform; a stamp far behind the newest one starts the frame anew."""
        entry = (transform.stamp_ns, transform.parent, transform.T_parent_child)
        with self._lock:
            if static:
                self._static[transform.child] = entry[1:]
                return
            track = self._moving.setdefault(transform.child, [])
            if track and transform.stamp_ns < track[-1][0] - self.KEEP_NS // 2:
                track.clear()
            insort(track, entry, key=lambda e: e[0])
            while track[0][0] < track[-1][0] - self.KEEP_NS:
                del track[0]

    def clear(self) -> None:
        """Forget moving transforms; static ones stay."""
        with self._lock:
            self._moving.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source, interpolated; None when the frames are not connected then."""
        with self._lock:
            up_target, up_source = self._chain(target, stamp_ns), self._chain(source, stamp_ns)
        for frame, T_frame_source in up_source.items():
            if frame in up_target:
                return invert_pose(up_target[frame]) @ T_frame_source
        return None

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
        later, parent, T_later = track[after]
        if later == stamp_ns:
            return parent, T_later
        if after == 0:
            return None
        earlier, _, T_earlier = track[after - 1]
        part = (stamp_ns - earlier) / (later - earlier)
        return parent, T_earlier @ exp_se3(part * log_se3(invert_pose(T_earlier) @ T_later))
