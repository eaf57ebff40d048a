"""Which of the robot's ROS libraries this process uses: tried once, decided for good, told.

None of them is on PyPI, and their binaries break with another NumPy or OpenCV than they were built
for. So each is imported once per process and has to do its job on a small example; where it is
missing or fails, our own code does the job for as long as the process lives. Nodes log the choice
and show it in their diagnostics, `ace-slam doctor` lists it, and the same tests run over both.

`ACE_SLAM_OWN_CODE=tf2_ros,message_filters` (or `all`) chooses our own code for the ones named.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from array import array
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from builtin_interfaces.msg import Time as TimeMsg
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ...core.errors import AceSlamError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

OWN_CODE_VARIABLE = "ACE_SLAM_OWN_CODE"


class WrongAnswerError(AceSlamError):
    """A library runs, but its answer to the example is wrong."""


class RobotLibrary:
    """A library of the robot that our own code can stand in for; the first use decides.

    Args:
        module_name: what is imported.
        without: what happens where it is not used, for people.
        example: makes the module do its job; raises what goes wrong.

    Attributes:
        name: of its package.
        broken: it is installed, but cannot be used.
    """

    def __init__(self, module_name: str, without: str, example: Callable[[Any], None]) -> None:
        self.name, self.without = module_name.partition(".")[0], without
        self._module_name, self._example = module_name, example
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Decide anew at the next use; for tests alone."""
        self._decided, self.broken = False, False
        self._module: Any = None
        self._why_not = ""
        self._failures: dict[str, str] = {}
        self._failed_calls = 0

    def module(self) -> Any | None:
        """Return the library; None where our own code does its job."""
        with self._lock:
            if not self._decided:
                self._decide()
                self._decided = True
        return self._module

    def _decide(self) -> None:
        forced = os.environ.get(OWN_CODE_VARIABLE, "").replace(",", " ").split()
        if self.name in forced or "all" in forced:
            self._why_not = OWN_CODE_VARIABLE
            return
        try:
            module = importlib.import_module(self._module_name)
            self._example(module)
            self._module = module
        except Exception as error:  # a binary for another NumPy may raise anything
            if isinstance(error, ModuleNotFoundError) and f"{self._module_name}.".startswith(
                    f"{error.name}."):  # else it lacks a library of its own
                self._why_not = "not installed"
                return
            self.broken, self._why_not = True, f"broken: {_one_line(error)}"
            log.warning("%s is %s; %s", self.name, self._why_not, self.without)

    def give_up(self, error: Exception) -> None:
        """Use our own code from now on: the library does its example, but not its job."""
        with self._lock:
            self._module, self.broken = None, True
            self._why_not = f"broken: {_one_line(error)}"
        log.warning("%s is %s; %s", self.name, self._why_not, self.without)

    def answer(self, theirs: Callable[[Any], Result], ours: Callable[[], Result]) -> Result:
        """Return `theirs(module)`; `ours()` where it is not used, or when this call fails."""
        module = self.module()
        if module is not None:
            try:
                return theirs(module)
            except Exception as error:  # its errors have no common base
                self.failed(error)
        return ours()

    def failed(self, error: Exception) -> None:
        """Note that a call failed although the example went well; each kind is logged once."""
        self._failed_calls += 1
        kind = type(error).__name__
        if kind not in self._failures:
            log.warning("%s fails in use, our own code answers instead (further cases are only "
                        "counted): %s", self.name, _one_line(error))
        self._failures[kind] = _one_line(error)

    def why_not(self) -> str:
        """Say why our own code is used; empty when the library is."""
        self.module()
        return self._why_not

    def trouble(self) -> str:
        """Say how calls of a library that is used have failed; empty when none did."""
        if not self._failed_calls:
            return ""
        return f"{self._failed_calls} calls failed: {'; '.join(self._failures.values())}"


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def libraries_in_use() -> str:
    """Say which libraries this process uses, and which are left to our own code and why."""
    used = [(lib.name, lib.trouble()) for lib in LIBRARIES if not lib.why_not()]
    ours = [(lib.name, lib.why_not()) for lib in LIBRARIES if lib.why_not()]
    parts = []
    if used:
        parts.append(", ".join(f"{name} ({text})" if text else name for name, text in used))
    if ours:
        parts.append("own code instead of " + ", ".join(f"{name} ({why})" for name, why in ours))
    return "; ".join(parts)


# Examples: small, but through the part of each library that breaks ---------------------------


def _expect(right: bool, what: str) -> None:
    if not right:
        raise WrongAnswerError(f"it {what}")


def _convert_an_image(cv_bridge: Any) -> None:
    """2x2 pixels from BGR to RGB: through the binary that is built for one NumPy and OpenCV."""
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    message = Image(height=2, width=2, encoding="bgr8", step=6, data=array("B", pixels.tobytes()))
    found = np.asarray(cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8"))
    _expect(np.array_equal(found, pixels[..., ::-1]), "converts an image wrongly")


def _pair_two_messages(message_filters: Any) -> None:
    """Two images 10 ms apart, within a slop of 20 ms."""
    inputs = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
    synchronizer = message_filters.ApproximateTimeSynchronizer(inputs, 5, 0.02)
    found: list[Any] = []
    synchronizer.registerCallback(lambda *pair: found.append(pair))
    pair = tuple(Image(header=Header(stamp=TimeMsg(sec=1, nanosec=ns))) for ns in (0, 10_000_000))
    for stream, message in zip(inputs, pair, strict=True):
        stream.signalMessage(message)
    _expect(found == [pair], "does not pair messages")


def _pack_two_points(point_cloud2: Any) -> None:
    points = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "<f4")
    cloud = point_cloud2.create_cloud_xyz32(Header(frame_id="map"), points)
    _expect(bytes(cloud.data) == points.tobytes() and cloud.point_step == 12,
            "packs a cloud wrongly")


def _turn_by_half_pi(tf_transformations: Any) -> None:
    T_44 = np.eye(4)
    T_44[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
    q_4 = np.asarray(tf_transformations.quaternion_from_matrix(T_44))
    _expect(abs(abs(q_4 @ [0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]) - 1.0) < 1e-9
            and np.allclose(tf_transformations.quaternion_matrix(q_4), T_44),
            "converts a rotation wrongly")


def _look_up_between(tf2_ros: Any) -> None:
    """A frame that moved 2 m in a second, half a second later."""
    buffer = tf2_ros.Buffer()
    for second in (1, 2):
        message = TransformStamped(
            header=Header(stamp=TimeMsg(sec=second), frame_id="a"), child_frame_id="b")
        message.transform.translation.x = 2.0 * second
        buffer.set_transform(message, "example")
    found = buffer.lookup_transform("a", "b", Time(seconds=1, nanoseconds=500_000_000))
    _expect(abs(found.transform.translation.x - 3.0) < 1e-9, "interpolates wrongly")
    for name in ("TransformListener", "TransformBroadcaster", "TransformException"):
        getattr(tf2_ros, name)


CV_BRIDGE = RobotLibrary(
    "cv_bridge", "images are decoded by our own code, which refuses encodings that it does "
    "not know", _convert_an_image)
MESSAGE_FILTERS = RobotLibrary(
    "message_filters", "images are paired by our own code, with the same result",
    _pair_two_messages)
POINT_CLOUD2 = RobotLibrary(
    "sensor_msgs_py.point_cloud2", "clouds are packed by our own code, with the same result",
    _pack_two_points)
TF_TRANSFORMATIONS = RobotLibrary(
    "tf_transformations", "quaternions are converted by our own code, with the same result",
    _turn_by_half_pi)
TF2_ROS = RobotLibrary(
    "tf2_ros", "transforms are read and sent through /tf by our own code, with the same result",
    _look_up_between)
LIBRARIES = (CV_BRIDGE, MESSAGE_FILTERS, POINT_CLOUD2, TF_TRANSFORMATIONS, TF2_ROS)
