"""The relocalizer node: answers where a camera is, from the caller's image or the newest frame."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import PoseWithCovariance, PoseWithCovarianceStamped

from ...core.errors import AceSlamError, DataError
from ...core.geometry.se3 import invert_pose
from ...core.localization.relocalizer import Relocalization, Relocalizer
from ...srv import Relocalize
from ..inputs.camera_topics import ImageInputs
from ..inputs.extrinsic import Extrinsic
from ..messages.conversions import frame_from_msgs, make_header
from ..messages.poses import base_covariance, covariance_to_msg, pose_to_msg
from ..outputs.diagnostics import Report, Window
from ..qos import reliable_qos
from ..tf.factory import make_transforms
from ..weights.link import WeightsLink, weights_schema
from .base import SlamNode

if TYPE_CHECKING:
    from ..inputs.synchronizer import ImagePair

_IDLE_S = 0.2


class PoseForwarding:
    """Sends poses found in the newest frame on as `initialpose` of the base."""

    def __init__(self, node: SlamNode) -> None:
        self._frame = node.config.ros.map_frame
        self._transforms = make_transforms(node)
        self._extrinsic = Extrinsic(node, node.config.ros, self._transforms)
        self._node = node
        self._publisher = node.create_publisher(
            PoseWithCovarianceStamped, "initialpose", reliable_qos())

    def send(self, stamp_ns: int, camera_frame: str, found: Relocalization) -> None:
        """Publish one pose; nothing while the camera's place on the robot is not known yet."""
        assert found.T_map_cam is not None
        try:
            T_base_cam = self._extrinsic.at(camera_frame, stamp_ns)
        except DataError as error:
            self._node.log_once("mount", f"initialpose not sent: {error}")
            return
        if T_base_cam is None:
            self._node.log_once("wait", f"initialpose not sent: waiting for TF of {camera_frame}")
            return
        T_map_base = found.T_map_cam @ invert_pose(T_base_cam)
        covariance_66 = base_covariance(found.covariance_66, found.T_map_cam, T_map_base)
        self._publisher.publish(PoseWithCovarianceStamped(
            header=make_header(stamp_ns, self._frame), pose=PoseWithCovariance(
                pose=pose_to_msg(T_map_base), covariance=covariance_to_msg(covariance_66))))

    def close(self) -> None:
        """Drop publisher and transforms."""
        self._node.destroy_publisher(self._publisher)
        self._transforms.close()


class RelocalizerNode(SlamNode):
    """Answers the `relocalize` service with the core's `Relocalizer`; never throws."""

    def __init__(self) -> None:
        super().__init__("relocalizer")

    def setup(self) -> None:
        """Make the service and the link to the weights."""
        self._relocalizer = Relocalizer(self.config, self.encoder)
        self._link = WeightsLink(
            self.segment, weights_schema(self.encoder),
            lambda text: self.log_once(text, f"weights ignored: {text}"))
        self._newest: ImagePair | None = None
        self._waiting = 0
        self._counts: dict[str, int] = {}
        self._latency = Window()
        self._forward = PoseForwarding(self) if self.config.ros.forward_initialpose else None
        self._service = self.create_service(
            Relocalize, "relocalize", self._answer, callback_group=self.reentrant)

    def start(self) -> Callable[[], None]:
        """Keep the newest image pair, undecoded."""
        self._inputs = ImageInputs(self, self.config.ros, self._keep)
        return self._step

    def pause_work(self) -> None:
        """Unsubscribe."""
        self._inputs.close()
        self._newest = None

    def teardown(self) -> None:
        """Drop service and link."""
        self.destroy_service(self._service)
        if self._forward is not None:
            self._forward.close()
        self._link.close()

    def _keep(self, pair: ImagePair) -> None:
        self._newest = pair

    def _step(self) -> None:
        """Take new weights between callers, so that an answer does not wait for them."""
        self._link.take(self._relocalizer.set_head)
        self.worker.wait(_IDLE_S)

    async def _answer(self, request: Relocalize.Request, response: Any) -> Any:
        """Queue the request; the executor goes on while the worker computes."""
        start_ns = time.monotonic_ns()
        if self._waiting >= self.config.relocalizer.queue:
            _refuse(response, Relocalize.Response.BUSY,
                    f"{self._waiting} callers wait already: ask again")
        else:
            self._waiting += 1
            try:
                await self.in_worker(lambda: self._locate(request, response))
            except DataError as error:
                _refuse(response, Relocalize.Response.BAD_REQUEST, str(error))
            except AceSlamError as error:
                _refuse(response, Relocalize.Response.ERROR, str(error))
            except Exception as error:
                self.log_exception("relocalize")
                _refuse(response, Relocalize.Response.ERROR, f"unexpected error: {error}")
            finally:
                self._waiting -= 1
        response.latency_ms = (time.monotonic_ns() - start_ns) * 1e-6
        self._latency.add(response.latency_ms)
        outcome = "answers_ok" if response.success else f"answers_reason_{response.reason}"
        self._counts[outcome] = self._counts.get(outcome, 0) + 1
        return response

    def _locate(self, request: Relocalize.Request, response: Any) -> None:
        """Fill the response; in the worker thread."""
        confidence = float(request.min_confidence)
        if not 0.0 <= confidence <= 1.0 or math.isnan(confidence):
            raise DataError(f"min_confidence={confidence} is outside 0..1")
        messages = self._messages(request)
        if messages is None:
            _refuse(response, Relocalize.Response.NO_IMAGE,
                    "the request has no image and none was received: "
                    f"{self._inputs.problem() or 'wait for the first image pair'}")
            return
        frame = frame_from_msgs(*messages, require_depth=False)
        self._link.take(self._relocalizer.set_head)
        found = self._relocalizer.locate(frame, confidence or None)
        response.success, response.reason = bool(found.success), int(found.reason)
        response.message = found.message
        response.inlier_ratio = float(found.inlier_ratio)
        response.inlier_count = int(found.inlier_count)
        response.weights_version = int(found.weights_version)
        response.pose.header = make_header(frame.stamp_ns, self.config.ros.map_frame)
        if found.T_map_cam is not None:
            response.pose.pose = PoseWithCovariance(
                pose=pose_to_msg(found.T_map_cam),
                covariance=covariance_to_msg(found.covariance_66))
        if self._forward is not None and found.success and request.image.width == 0:
            self._forward.send(frame.stamp_ns, messages[0].header.frame_id, found)

    def _messages(self, request: Relocalize.Request) -> tuple[Any, Any, Any] | None:
        """Return (color, depth or None, camera_info) of the request or the newest frame."""
        newest = self._newest
        if request.image.width == 0:
            return None if newest is None else (newest.color, newest.depth, newest.info)
        info = request.camera_info
        if info.width == 0:
            if newest is None:
                raise DataError("the request has no camera_info and none was received: fill it in")
            info = newest.info
        depth = request.depth if request.depth.width else None
        return request.image, depth, info

    def report(self) -> Report:
        """Describe weights, input and answers."""
        p50, p95 = self._latency.percentiles((50, 95))
        report = Report(values=self._inputs.values(time.monotonic_ns()) | self._counts | {
            "waiting": self._waiting, "latency_p50_ms": p50, "latency_p95_ms": p95})
        self._link.add_to(report)
        silence = self._inputs.problem()
        report.warn(f"{silence} (requests with an image are still answered)" if silence else "")
        for text in self._inputs.incompatible.values():
            report.error(text)
        return report


def _refuse(response: Any, reason: int, message: str) -> None:
    response.success, response.reason, response.message = False, reason, message
