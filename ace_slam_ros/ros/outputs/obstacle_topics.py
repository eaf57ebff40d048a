"""What stands in the robot's way now: the topics obstacles and free_space, for costmaps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import PointCloud2

from ...core.data.scene_mask import SceneMask
from ...core.navigation.obstacle_cloud import floor_of_base, obstacle_cloud
from ...core.runtime.newest_slot import NewestSlot
from ..inputs.extrinsic import PlaceSource
from ..messages.clouds import cloud_to_msg
from ..nodes.worker import Worker
from ..qos import reliable_qos
from .diagnostics import Window

if TYPE_CHECKING:
    from ...core.data.frame import Frame
    from ...core.geometry.arrays import Float64Array, UInt8Image
    from ..config import NodeConfig
    from ..nodes.base import SlamNode

#: The tracker goes first where processors are short.
_NICENESS = 4
#: So long the thread waits for a frame before it looks whether it is to end.
_PATIENCE_S = 0.2
#: For so long after the last cloud that was wanted, what kept it back is told.
_TOLD_S = 5.0


@dataclass(frozen=True)
class _Seen:
    """A frame, and what is known of the camera that took it."""

    frame: Frame
    T_base_cam: Float64Array
    source: PlaceSource
    shown_HW: UInt8Image | None
    floor_4: Float64Array | None


class ObstacleOutput:
    """Publishes obstacles and free space of the newest frame, in the base frame.

    A thread of its own does it, after the pose is out, at most `obstacles.rate_hz` times a second,
    and only while somebody listens. It needs no map: clouds go on while the tracker is LOST.
    Where the floor is not known, or the camera sees nothing, no cloud is sent, since an empty one
    would mean that the way is free.
    """

    def __init__(self, node: SlamNode, config: NodeConfig) -> None:
        self._node, self._config = node, config
        self._mask = SceneMask(config.sensor.mask)
        self._obstacles, self._free = (
            node.create_publisher(PointCloud2, name, reliable_qos(2))
            for name in ("obstacles", "free_space"))
        self._seen: NewestSlot[_Seen] = NewestSlot()
        self._due_s, self._wanted_s = 0.0, -_TOLD_S
        self._reason = ""
        self._took_ms = Window()
        self._sent = 0
        self._worker: Worker | None = None

    def start(self) -> None:
        """Begin, when the node is activated."""
        if self._config.obstacles.rate_hz:
            self._worker = Worker("obstacles", self._step, self._node.log_exception, _NICENESS)
            self._worker.start()

    def show(
        self, frame: Frame, T_base_cam: Float64Array, source: PlaceSource,
        shown_HW: UInt8Image | None, floor_4: Float64Array | None = None,
    ) -> None:
        """Leave the newest frame for the thread if a cloud is due; takes microseconds.

        Args:
            frame: as it came; of one without depth there is no cloud.
            T_base_cam: (4, 4) pose of the optical frame in the base.
            source: where that is known from.
            shown_HW: (H, W) uint8, 0 where the robot itself was found; None = nowhere.
            floor_4: plane of the floor in the optical frame, see `floor_of_base`, where somebody
                found it; None = that of the mount.
        """
        now_s = time.monotonic()
        if self._worker is None or now_s < self._due_s or not self._is_wanted():
            return
        period_s = 1.0 / self._config.obstacles.rate_hz
        # Frames come when they come: on average as often as told, and no debts after a pause.
        self._due_s = max(self._due_s, now_s - period_s / 2) + period_s
        self._wanted_s = now_s
        self._seen.put(_Seen(frame, T_base_cam, source, shown_HW, floor_4))

    def _is_wanted(self) -> bool:
        return bool(self._obstacles.get_subscription_count()
                    or self._free.get_subscription_count())

    def _step(self) -> None:
        """Make the cloud of one frame; in the thread."""
        if (seen := self._seen.take(_PATIENCE_S)) is None:
            return
        begin_s = time.thread_time()
        self._reason = self._publish(seen)
        self._took_ms.add((time.thread_time() - begin_s) * 1e3)

    def _publish(self, seen: _Seen) -> str:
        """Publish the clouds of a frame, or return why there are none."""
        config, frame = self._config, seen.frame
        floor_4 = seen.floor_4
        if floor_4 is None and seen.source is not PlaceSource.ASSUMED:
            floor_4 = floor_of_base(seen.T_base_cam, config.obstacles.floor_z_m)
        base = config.ros.base_frame
        if floor_4 is None:
            return (f"obstacles are not sent, since the floor is not known: z = 0 of {base} is "
                    "not below the camera; set ros.base_frame to a frame of the robot of which TF "
                    "or ros.camera_extrinsic knows the camera, or obstacles.floor_z_m")
        shown = self._mask.of(frame).mask
        if shown is None or seen.shown_HW is None:
            shown = seen.shown_HW if shown is None else shown
        else:
            shown = shown & seen.shown_HW
        if frame.depth_m is None:
            return "obstacles are not sent: the frame has no depth"
        cloud = obstacle_cloud(
            frame.depth_m, frame.camera, seen.T_base_cam, floor_4, config.sensor,
            config.obstacles, shown)
        if cloud.is_blind:
            return (f"obstacles are not sent: {100 * (1 - cloud.measured):.0f} % of the picture "
                    "has no depth that can be used (a covered camera, something nearer than "
                    "sensor.min_depth_m, all farther than sensor.max_depth_m)")
        for publisher, points in ((self._obstacles, cloud.obstacles_N3),
                                  (self._free, cloud.free_M3)):
            if publisher.get_subscription_count():
                publisher.publish(cloud_to_msg(points, frame.stamp_ns, base))
        self._sent += 1
        return ""

    def problem(self) -> str:
        """Say why who listens gets no cloud; empty when there is one, or nobody listens."""
        return self._reason if time.monotonic() - self._wanted_s < _TOLD_S else ""

    def values(self) -> dict[str, Any]:
        """Return what diagnostics show, once there was a cloud."""
        if not self._sent:
            return {}
        return {"obstacle_clouds": self._sent,
                "obstacle_cloud_p50_ms": self._took_ms.percentiles((50,))[0]}

    def stop(self) -> None:
        """End, when the node is deactivated."""
        if self._worker is not None and not self._worker.stop():
            self._node.get_logger().error("the thread of the obstacles does not stop")
        self._worker = None
        self._seen.clear()

    def close(self) -> None:
        """Drop the publishers."""
        for publisher in (self._obstacles, self._free):
            self._node.destroy_publisher(publisher)
