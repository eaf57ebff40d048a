"""Where the camera sits on the robot: from the parameter, from TF, or assumed."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from rclpy.node import Node

from ...core.errors import ConfigError, DataError, one_line
from ...core.geometry.se3 import R_BODY_OPTICAL_33, make_pose, pose_from_quaternion
from ..tf.factory import others_publish_tf

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array
    from ..config import RosConfig
    from ..tf.interface import Transforms

#: A frame whose z axis is this near to the base's is taken for a body frame.
_UP = 0.9
#: Smallest trace of a rotation within two degrees of the identity.
_IDENTITY_TRACE = 1.0 + 2.0 * float(np.cos(np.deg2rad(2.0)))


def _looks_up(T_base_cam: Float64Array) -> bool:
    """Tell whether the optical axis points up, as the z axis of a body frame does."""
    return bool(T_base_cam[2, 2] > _UP)


def check_optical(camera_frame: str, T_base_cam: Float64Array) -> None:
    """Refuse a camera frame that is a body frame: everything would be rotated by 90 degrees.

    A frame that calls itself optical may look at the ceiling, but not with exactly the axes of
    the base: then the rotation of its joint was forgotten.

    Raises:
        DataError: with the fix.
    """
    override = "; a camera that really looks up needs ros.camera_extrinsic"
    if "optical" in camera_frame:
        if np.trace(T_base_cam[:3, :3]) > _IDENTITY_TRACE:
            raise DataError(
                f"camera frame '{camera_frame}' calls itself optical but has the axes of the base "
                "(z up): give its joint rpy=\"-1.5708 0 -1.5708\" in the URDF" + override)
    elif _looks_up(T_base_cam):
        raise DataError(
            f"camera frame '{camera_frame}' is not optical (its z axis points up): the driver "
            "must stamp images with its optical frame, z forward and y down" + override)


class PlaceSource(Enum):
    """Where the camera's place on the robot comes from."""

    WAITING = "waiting"  #: TF may still tell
    PARAMETER = "parameter"
    TF = "TF"
    ASSUMED = "assumed"  #: the camera's body frame is the base


class Extrinsic:
    """Gives T_base_cam, the pose of the optical frame in the base.

    When neither `ros.camera_extrinsic` nor TF says anything, the camera's body frame is taken as
    the base (x forward, y left, z up at the optical center), so that the map's z axis points up
    in the first view instead of forward. It stays so until `forget`: another place within a map
    would make the base jump.

    Args:
        tell: log where the place comes from.

    Attributes:
        source: where it comes from.

    Raises:
        ConfigError: the parameter is malformed.
    """

    WAIT_S = 3.0

    def __init__(
        self, node: Node, config: RosConfig, transforms: Transforms, tell: bool = True
    ) -> None:
        parsed = parse_extrinsic(config.camera_extrinsic)
        self.source = PlaceSource.WAITING if parsed is None else PlaceSource.PARAMETER
        self._fixed = None if parsed is None else pose_from_quaternion(
            np.array(parsed[0]), np.array(parsed[1]))
        self._node, self._transforms, self._base = node, transforms, config.base_frame
        self._last: Float64Array | None = None
        self._deadline_s: float | None = None
        self._camera_frame = ""
        self._late = False
        self._tells, self._told = tell, PlaceSource.WAITING

    @property
    def is_known(self) -> bool:
        """Whether somebody said where the camera sits, so that z = 0 of the base is the floor."""
        return self.source in (PlaceSource.PARAMETER, PlaceSource.TF)

    def at(self, camera_frame: str, stamp_ns: int) -> Float64Array | None:
        """Return T_base_cam at a stamp; None while TF may still arrive.

        Raises:
            DataError: TF says that the camera frame is a body frame instead of an optical one.
        """
        self._camera_frame = camera_frame
        T_base_cam = self._find(camera_frame, stamp_ns)
        if self._tells and self.source not in (self._told, PlaceSource.WAITING):
            self._told = self.source
            self._tell()
        return T_base_cam

    def _find(self, camera_frame: str, stamp_ns: int) -> Float64Array | None:
        if self.source is PlaceSource.PARAMETER:
            return self._fixed
        found = None
        if camera_frame and not self._late:
            found = self._transforms.lookup(self._base, camera_frame, stamp_ns)
        if self._fixed is not None:
            self._tell_late(found)
            return self._fixed
        if found is not None:
            check_optical(camera_frame, found)
            self._last, self.source = found, PlaceSource.TF
        if self._last is not None:
            return self._last  # TF may lag behind the image; the mount moves slowly if at all
        if self._deadline_s is None:
            self._deadline_s = time.monotonic() + self.WAIT_S
        if (camera_frame and time.monotonic() < self._deadline_s
                and others_publish_tf(self._node, self._transforms)):
            return None
        self._fixed = make_pose(R_BODY_OPTICAL_33, np.zeros(3))
        self.source = PlaceSource.ASSUMED
        return self._fixed

    def _tell(self) -> None:
        problem = one_line(self.problem())
        if problem:
            self._node.get_logger().warning(problem)
        else:
            given = self.source is PlaceSource.PARAMETER
            name = "ros.camera_extrinsic" if given else "TF"
            camera = one_line(self._camera_frame) or "the camera"
            self._node.get_logger().info(
                f"place of {camera} on {self._base}: from {name}")

    def _tell_late(self, found: Float64Array | None) -> None:
        if found is not None:
            self._late = True
            self._node.get_logger().warning(one_line(self.problem()))

    def problem(self) -> str:
        """Say that the camera's place is assumed or odd, and what to do; empty when known."""
        given = self._fixed if self.source is PlaceSource.PARAMETER else None
        if given is not None and _looks_up(given):
            return ("ros.camera_extrinsic makes the camera look straight up: it is the pose of "
                    "the optical frame (z forward, y down); a camera that looks ahead has the "
                    "quaternion -0.5 0.5 -0.5 0.5")
        if self.source is not PlaceSource.ASSUMED:
            return ""
        if self._late:
            return (f"TF knows {self._base} -> {self._camera_frame} only now: poses are of the "
                    "camera's body frame until the reset service is called")
        return (f"TF does not know {self._base} -> {self._camera_frame or 'the camera'}: poses "
                "are of the camera's body frame; set ros.camera_extrinsic, or publish the "
                "transform and call reset")

    def forget(self) -> None:
        """Look for the transform again, because a new map starts."""
        if self.source is PlaceSource.ASSUMED:
            self._fixed, self._late = None, False
            self.source = self._told = PlaceSource.WAITING


def parse_extrinsic(text: str) -> tuple[list[float], list[float]] | None:
    """Parse 'x y z qx qy qz qw' to (translation meters, unit quaternion xyzw); None when empty.

    Raises:
        ConfigError: not seven finite numbers, or the quaternion is zero.
    """
    words = text.replace(",", " ").split()
    if not words:
        return None
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    norm = sum(q * q for q in numbers[3:]) ** 0.5 if len(numbers) == 7 else 0.0
    if not 1e-6 < norm < 1e6 or not all(abs(n) < 1e6 for n in numbers):
        raise ConfigError(
            f"ros.camera_extrinsic='{text}': write seven numbers 'x y z qx qy qz qw', the pose of "
            "the camera's optical frame in base_frame")
    return numbers[:3], [q / norm for q in numbers[3:]]
