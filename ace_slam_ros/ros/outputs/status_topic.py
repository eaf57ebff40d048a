"""The tracker's status message: one per frame, in every state, with all counts."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from rclpy.node import Node

from ...core.data.submaps import MAIN_SUBMAP
from ...core.tracking.result import TrackerState, TrackResult
from ...msg import SlamStatus
from ..messages.conversions import make_header
from ..messages.poses import pose_to_msg
from ..qos import reliable_qos
from .diagnostics import Window

#: A share of skipped frames that is told, of the frames of so many seconds, if there are enough.
_MANY_SKIPPED, _SECONDS, _FEWEST_FRAMES = 0.2, 10, 30


class StatusOutput:
    """Counts frames and publishes `status`; `tracked` frames have a pose, `lost` ones none.

    Attributes:
        received: image pairs that arrived; replaced: pairs dropped because a newer one was there.
        waited: frames dropped at start while TF was awaited.
        rejected: frames that could not be used.
    """

    def __init__(self, node: Node, map_frame: str) -> None:
        self.received = self.replaced = self.waited = self.rejected = 0
        self._tracked = self._lost = 0
        self._submap = MAIN_SUBMAP
        self._weights = ("", 0)  # map and version last used
        self._node, self._map_frame = node, map_frame
        self._latency, self._work = Window(), Window()
        self._stages: defaultdict[str, Window] = defaultdict(Window)
        self._counts = deque([(0, 0)], maxlen=_SECONDS + 1)
        self._publisher = node.create_publisher(SlamStatus, "status", reliable_qos())

    def state_in_map(self, state: TrackerState, result: TrackResult | None = None) -> int:
        """Return the state that `status` gives: who does not know its place in the map is LOST.

        A frame without a result leaves the camera in the submap it was in.
        """
        if result is not None:
            self._submap = result.submap
        elif state is not TrackerState.TRACKING:
            self._submap = MAIN_SUBMAP
        return int(state if self._submap == MAIN_SUBMAP else TrackerState.LOST)

    @property
    def skipped(self) -> int:
        """Frames dropped by choice."""
        return self.replaced + self.waited

    def publish(
        self, stamp_ns: int, state: int, map_id: str, reason: str, result: TrackResult | None,
        latency_ms: float = 0.0,
    ) -> None:
        """Publish the state after one pair; `result` is None when the core did not run on it."""
        status = SlamStatus(
            header=make_header(stamp_ns, self._map_frame), state=state, map_id=map_id,
            latency_ms=latency_ms, reason=reason)
        if result is not None:
            has_pose = state == TrackerState.TRACKING and result.T_map_cam is not None
            self._tracked += has_pose
            self._lost += not has_pose
            self._latency.add(latency_ms)
            self._work.add(result.processing_ms)
            for stage, spent_ms in result.stages_ms.items():
                self._stages[stage].add(spent_ms)
            status.inlier_ratio = float(result.inlier_ratio)
            status.inlier_count = int(result.inlier_count)
            self._weights = (map_id, int(result.weights_version))
            status.processing_ms = float(result.processing_ms)
            status.submap, status.map_revision = result.submap, result.map_revision
            if result.T_map_cam_raw is not None:
                status.raw_valid, status.raw_pose = True, pose_to_msg(result.T_map_cam_raw)
                status.probability = float(result.support.probability)
        status.weights_version = self._weights[1] if map_id == self._weights[0] else 0
        status.frames, status.tracked, status.lost = self.received, self._tracked, self._lost
        status.skipped, status.rejected = self.skipped, self.rejected
        self._publisher.publish(status)

    def values(self) -> dict[str, Any]:
        """Return counts and times for diagnostics."""
        p50, p95 = self._latency.percentiles((50, 95))
        return {
            "frames": self.received, "tracked": self._tracked, "lost": self._lost,
            "skipped": self.skipped, "rejected": self.rejected, "latency_p50_ms": p50,
            "latency_p95_ms": p95, "processing_p50_ms": self._work.percentiles((50,))[0],
            **{f"{stage}_p50_ms": spent.percentiles((50,))[0]
               for stage, spent in sorted(self._stages.items())}}

    def problem(self) -> str:
        """Say that the machine is too slow for the camera; to be asked once a second."""
        self._counts.append((self.received, self.replaced))
        frames, replaced = (now - then for now, then in zip(
            self._counts[-1], self._counts[0], strict=True))
        if frames < _FEWEST_FRAMES or replaced <= _MANY_SKIPPED * frames:
            return ""
        return (f"{replaced} of the last {frames} frames were skipped: one takes "
                f"{self._work.percentiles((50,))[0]:.0f} ms; stop other programs, lower the rate "
                "or size of the camera's images, or use a faster machine")

    def close(self) -> None:
        """Drop the publisher."""
        self._node.destroy_publisher(self._publisher)
