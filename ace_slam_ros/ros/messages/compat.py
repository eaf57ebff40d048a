"""ROS's own conversion libraries where they work, and the fallbacks for where they do not.

None of them is on PyPI, and their binaries break with another NumPy or OpenCV than they were built
for: then the fallback is used from the first failure on, with one line in the log.

- cv_bridge reads encodings that our decoder does not know (Bayer patterns and the like). It is not
  asked for the others: it takes rows with odd padding for a sheared image.
- sensor_msgs_py packs clouds; tf_transformations converts quaternions.
- message_filters: see `synchronizer.py`; tf2_ros: see `transforms.py`.
"""

from __future__ import annotations

import importlib
import logging
from array import array
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from ...core.geometry.arrays import Float64Array, UInt8Image
from ...core.geometry.se3 import make_pose, pose_from_quaternion, quaternion_from_pose

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class OptionalLibrary:
    """A library that may be missing or broken; both are found out at its first use."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.forget()

    def forget(self) -> None:
        """Try the library anew at its next use."""
        self._module: Any = None
        self._usable = True

    def use(self, call: Callable[[Any], Result]) -> Result | None:
        """Return `call(module)`; None when the library is missing, breaks, or refuses."""
        if not self._usable:
            return None
        try:
            if self._module is None:
                self._module = importlib.import_module(self.name)
            return call(self._module)
        except ModuleNotFoundError as error:
            self._usable = False
            if error.name is None or not self.name.startswith(error.name):
                log.warning("%s is not used: %s", self.name, error)
        except (ImportError, AttributeError) as error:  # what a binary for another NumPy raises
            self._usable = False
            log.warning("%s is not used: %s: %s", self.name, type(error).__name__, error)
        except Exception as error:  # its errors have no common base; the fallback explains them
            log.debug("%s refuses: %s", self.name, error)
        return None


CV_BRIDGE = OptionalLibrary("cv_bridge")
POINT_CLOUD2 = OptionalLibrary("sensor_msgs_py.point_cloud2")
TF_TRANSFORMATIONS = OptionalLibrary("tf_transformations")


def other_encoding(msg: Image) -> UInt8Image | None:
    """Return an image of an encoding that only cv_bridge knows as (H, W, 3) RGB; None if not."""
    found = CV_BRIDGE.use(lambda library: library.CvBridge().imgmsg_to_cv2(msg, "rgb8"))
    if not isinstance(found, np.ndarray) or found.shape != (msg.height, msg.width, 3):
        return None
    return np.asarray(found, np.uint8)


def make_cloud(header: Header, points_N3: npt.NDArray[Any]) -> PointCloud2:
    """Pack points (N, 3) as x, y, z of 32 bits."""
    points = np.ascontiguousarray(points_N3, "<f4")
    cloud = POINT_CLOUD2.use(lambda library: library.create_cloud_xyz32(header, points))
    if cloud is not None:
        cloud.is_dense = True
        return cloud
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate("xyz")
    ]
    data = array("B")
    data.frombytes(memoryview(points).cast("B") if points.size else b"")
    return PointCloud2(
        header=header, height=1, width=len(points), fields=fields, is_bigendian=False,
        point_step=12, row_step=12 * len(points), is_dense=True, data=data)


def to_quaternion(T_44: Float64Array) -> Float64Array:
    """Return the unit quaternion (4,) xyzw of a 4x4 pose."""
    found = TF_TRANSFORMATIONS.use(lambda library: library.quaternion_from_matrix(T_44))
    return quaternion_from_pose(T_44) if found is None else np.asarray(found, np.float64)


def from_quaternion(t_3: Float64Array, q_xyzw_4: Float64Array) -> Float64Array:
    """Return the 4x4 pose of a translation (meters) and a unit quaternion."""
    found = TF_TRANSFORMATIONS.use(lambda library: library.quaternion_matrix(q_xyzw_4))
    if found is None:
        return pose_from_quaternion(t_3, q_xyzw_4)
    return make_pose(np.asarray(found, np.float64)[:3, :3], t_3)
