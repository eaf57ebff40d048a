"""The relocalizer node: answers where a camera is, from the caller's image or the newest frame."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PoseWithCovariance, PoseWithCovarianceStamped

from ...core.errors import AceSlamError, DataError
from ...core.geometry.se3 import invert_pose
from ...core.localization.relocalizer import PoseHint, Relocalization, Relocalizer
from ...core.runtime.priority import RELOCALIZER_NICENESS
from ...io.calibration import has_calibration
from ...io.registration import ALIGN, frames_apart
from ...srv import Relocalize
from ..inputs.depth_place import DepthPlaceOnDemand, frame_of
from ..inputs.extrinsic import Extrinsic
from ..inputs.on_demand import NoImagesError, OnDemandImages
from ..messages.conversions import frame_from_msgs, make_header
from ..messages.poses import base_covariance, covariance_to_msg, pose_from_msg, pose_to_msg
from ..outputs.diagnostics import Report, Window
from ..qos import reliable_qos, service_qos
from ..tf.factory import make_transforms
from ..weights.link import WeightsLink, weights_schema
from .base import SlamNode

if TYPE_CHECKING:
    from ..inputs.synchronizer import ImagePair

_IDLE_S = 0.2
_BORROWED = "the request lacks camera_info: the one that the camera sent last was used"


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

    niceness = RELOCALIZER_NICENESS

    def __init__(self) -> None:
        super().__init__("relocalizer")

    def setup(self) -> None:
        """Make the service and the link to the weights."""
        self._relocalizer = Relocalizer(self.config, self.encoder)
        self._link = WeightsLink(
            self.segment, weights_schema(self.encoder),
            lambda text: self.log_once(text, f"weights ignored: {text}"))
        self._last: tuple[Any, Relocalization] | None = None
        self._waiting = 0
        self._counts: dict[str, int] = {}
        self._latency = Window()
        self._forward = PoseForwarding(self) if self.config.ros.forward_initialpose else None
        self._service = self.create_service(
            Relocalize, "relocalize", self._answer, qos_profile=service_qos(),
            callback_group=self.reentrant)

    def start(self) -> Callable[[], None]:
        """Be ready to subscribe when somebody asks for the newest frame."""
        self._images = OnDemandImages(self, self.config.ros)
        self._place = DepthPlaceOnDemand(self)
        return self._step

    def pause_work(self) -> None:
        """Unsubscribe."""
        self._images.close()
        self._place.close()

    def teardown(self) -> None:
        """Drop service and link."""
        self.destroy_service(self._service)
        if self._forward is not None:
            self._forward.close()
        self._link.close()

    def _step(self) -> None:
        """Take new weights between callers, so that an answer does not wait for them."""
        self._link.take(self._relocalizer.set_head)
        self.worker.wait(_IDLE_S)

    async def _answer(self, request: Relocalize.Request, response: Any) -> Any:
        """Queue the request; the executor goes on while the worker computes."""
        start_ns = time.monotonic_ns()
        if self._waiting >= self.config.relocalizer.queue:
            _refuse(response, Relocalize.Response.BUSY,
                    f"{self._waiting} callers wait already (relocalizer.queue): ask again")
        else:
            self._waiting += 1
            try:
                pair = await self._pair_for(request)
                await self.in_worker(lambda: self._locate(request, response, pair))
            except NoImagesError as error:
                _refuse(response, Relocalize.Response.NO_IMAGE,
                        f"the request lacks an image or its camera_info: {error}")
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

    async def _pair_for(self, request: Relocalize.Request) -> ImagePair | None:
        """Wait for the camera's next pair when the request lacks what only the camera can tell.

        A remembered camera_info of another size may be from before the camera was set up anew.
        """
        if self.state_label != "active":
            return None  # the worker that is not there refuses
        image, known = request.image, self._images.info
        has_info = has_calibration(request.camera_info) or (
            known is not None and (known.width, known.height) == (image.width, image.height))
        if image.width > 0 and has_info:
            return None
        try:
            found: ImagePair = await self._images.next_pair()
            self._place.look_at(found)
            return found
        except NoImagesError:
            if image.width == 0 or known is None:
                raise
            return None  # then the sizes are refused

    def _locate(
        self, request: Relocalize.Request, response: Any, pair: ImagePair | None
    ) -> None:
        """Decode, solve and fill the response; in the worker thread."""
        confidence = float(request.min_confidence)
        if not 0.0 <= confidence <= 1.0 or math.isnan(confidence):
            raise DataError(f"min_confidence={confidence} is outside 0..1")
        hint = _hint(request.prior)
        self._link.take(self._relocalizer.set_head)
        if request.image.width == 0 and pair is not None:
            stamp_ns = pair.stamp_ns
            found = self._locate_newest(pair, confidence, hint)
            unregistered = self._place.said
        else:
            info = (request.camera_info if has_calibration(request.camera_info)
                    else self._images.info)
            frame = frame_from_msgs(
                request.image, request.depth if request.depth.width else None, info,
                require_depth=False, gray=True,
                depth_unit_m=self.config.sensor.depth_unit_m)
            stamp_ns = frame.stamp_ns
            unregistered = _unregistered(request.image, request.depth)
            found = self._relocalizer.locate(frame, confidence or None, hint)
        response.success, response.reason = bool(found.success), int(found.reason)
        borrowed = request.image.width > 0 and not has_calibration(request.camera_info)
        response.message = "; ".join(filter(None, (
            found.message, _BORROWED if borrowed else "", unregistered)))
        response.inlier_ratio = float(found.inlier_ratio)
        response.inlier_count = int(found.inlier_count)
        response.probability, response.views = float(found.probability), int(found.views)
        response.weights_version = int(found.weights_version)
        response.pose.header = make_header(stamp_ns, self.config.ros.map_frame)
        if found.T_map_cam is not None:
            response.pose.pose = PoseWithCovariance(
                pose=pose_to_msg(found.T_map_cam),
                covariance=covariance_to_msg(found.covariance_66))

    def _locate_newest(
        self, pair: ImagePair, confidence: float, hint: PoseHint | None
    ) -> Relocalization:
        """Solve the pose of a pair of the camera, once for all who wait for it without a prior."""
        asked = (pair.arrival_ns, self._link.version, confidence)
        if hint is None and self._last is not None and self._last[0] == asked:
            return self._last[1]
        frame = frame_of(
            pair, self._place, self.config.sensor, require_depth=False, gray=True)
        found = self._relocalizer.locate(frame, confidence or None, hint)
        if hint is None:
            self._last = asked, found
        if self._forward is not None and found.success:
            self._forward.send(frame.stamp_ns, pair.color.header.frame_id, found)
        return found

    def report(self) -> Report:
        """Describe weights, input and answers."""
        p50, p95 = self._latency.percentiles((50, 95))
        report = Report(values=self._images.values(time.monotonic_ns()) | self._counts | {
            "waiting": self._waiting, "latency_p50_ms": p50, "latency_p95_ms": p95})
        self._link.add_to(report)
        trouble = self._images.problem
        report.warn(f"{trouble} (requests with an image are still answered)" if trouble else "")
        for text in self._images.incompatible():
            report.error(text)
        return report


def _hint(prior: PoseWithCovariance) -> PoseHint | None:
    """Return what a request says of the camera's place, None without a covariance.

    Raises:
        DataError: its numbers are no pose or no covariance.
    """
    covariance_66 = np.array(prior.covariance, np.float64).reshape(6, 6)
    if not covariance_66.any():
        return None
    if not np.isfinite(covariance_66).all() or np.linalg.eigvalsh(covariance_66).min() < -1e-9:
        raise DataError("the covariance of prior is none: give variances on its diagonal, or all "
                        "zeros for no prior")
    return PoseHint(pose_from_msg(prior.pose), covariance_66)


def _unregistered(color: Any, depth: Any) -> str:
    """Say that a request's depth is of another camera: its camera_info is not in the request."""
    apart = frames_apart(color.header.frame_id, depth.header.frame_id)
    return apart and f"{apart}: {ALIGN}"


def _refuse(response: Any, reason: int, message: str) -> None:
    response.success, response.reason, response.message = False, reason, message
