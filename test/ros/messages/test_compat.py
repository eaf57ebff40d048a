"""Conversions give the same with ROS's libraries, without them, and with broken ones."""

import importlib.util
import sys
from types import ModuleType

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2, PointField

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import exp_se3, pose_from_quaternion
from ace_slam_ros.ros.messages import compat as optional_libraries
from ace_slam_ros.ros.messages.conversions import (
    byte_array,
    cloud_to_msg,
    image_from_msg,
    image_to_msg,
)
from ace_slam_ros.ros.messages.poses import (
    pose_from_msg,
    pose_to_msg,
    transform_from_msg,
    transform_to_msg,
)

#: Asked before any test puts a stand-in there.
PRESENT = {n: importlib.util.find_spec(n) is not None
           for n in ("cv_bridge", "sensor_msgs_py", "tf_transformations")}
LIBRARIES = (optional_libraries.CV_BRIDGE, optional_libraries.POINT_CLOUD2,
             optional_libraries.TF_TRANSFORMATIONS)
POSES = [exp_se3(xi) for xi in np.random.default_rng(2).normal(size=(20, 6))]
POINTS = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
IMAGE = np.random.default_rng(4).integers(0, 255, (24, 32, 3)).astype(np.uint8)


class CvBridge:
    """As cv_bridge's for Bayer patterns; fails for what it does not know, as that one does."""

    def imgmsg_to_cv2(self, img_msg, desired_encoding="passthrough"):
        if img_msg.encoding != "bayer_rggb8" or desired_encoding != "rgb8":
            raise RuntimeError(f"[{img_msg.encoding}] is not a color format")
        stored = np.frombuffer(img_msg.data, np.uint8).reshape(img_msg.height, img_msg.width)
        return cv2.cvtColor(stored, cv2.COLOR_BayerBG2RGB)


def create_cloud_xyz32(header, points):
    fields = [PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1)
              for i, n in enumerate("xyz")]
    return PointCloud2(
        header=header, height=1, width=len(points), is_dense=False, is_bigendian=False,
        fields=fields, point_step=12, row_step=12 * len(points), data=byte_array(points))


def quaternion_from_matrix(matrix):
    return -Rotation.from_matrix(matrix[:3, :3]).as_quat()  # of the other sign, as is its right


def quaternion_matrix(quaternion):
    return pose_from_quaternion(np.zeros(3), np.asarray(quaternion))


def stand_ins():
    """Return the libraries' modules for machines without them, by name."""
    modules = {name: ModuleType(name) for name in (
        "cv_bridge", "sensor_msgs_py", "sensor_msgs_py.point_cloud2", "tf_transformations")}
    modules["cv_bridge"].CvBridge = CvBridge
    modules["sensor_msgs_py.point_cloud2"].create_cloud_xyz32 = create_cloud_xyz32
    modules["tf_transformations"].quaternion_from_matrix = quaternion_from_matrix
    modules["tf_transformations"].quaternion_matrix = quaternion_matrix
    return {n: m for n, m in modules.items() if not PRESENT[n.partition(".")[0]]}


def broken(name):
    class Broken(ModuleType):
        def __getattr__(self, attribute):
            raise AttributeError("_ARRAY_API not found")
    return Broken(name)


@pytest.fixture(params=["installed", "missing", "broken"])
def libraries(request, monkeypatch):
    if request.param == "installed":
        for name, module in stand_ins().items():
            monkeypatch.setitem(sys.modules, name, module)
    for library in LIBRARIES:
        library.forget()
        if request.param == "missing":
            monkeypatch.setitem(sys.modules, library.name, None)
        elif request.param == "broken":
            monkeypatch.setitem(sys.modules, library.name, broken(library.name))
    yield request.param
    for library in LIBRARIES:
        library.forget()


def test_poses_round_trip(libraries):
    for T_44 in POSES:
        for back in (pose_from_msg(pose_to_msg(T_44)), transform_from_msg(transform_to_msg(T_44))):
            assert np.allclose(back, T_44, atol=1e-9)


def test_quaternions_are_of_unit_length(libraries):
    q = pose_to_msg(POSES[0]).orientation
    assert abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1.0) < 1e-12
    assert np.allclose(
        Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), POSES[0][:3, :3], atol=1e-9)


@pytest.mark.parametrize("count", [50, 1, 0])
def test_clouds(libraries, count):
    cloud = cloud_to_msg(POINTS[:count], 7, "map")
    assert (cloud.height, cloud.width, cloud.point_step) == (1, count, 12)
    assert [f.name for f in cloud.fields] == ["x", "y", "z"] and cloud.is_dense
    assert cloud.header.frame_id == "map" and cloud.header.stamp.nanosec == 7
    assert np.array_equal(
        np.frombuffer(cloud.data, "<f4").reshape(-1, 3), POINTS[:count])


def test_common_encodings_never_depend_on_a_library(libraries):
    assert np.array_equal(image_from_msg(image_to_msg(IMAGE, 1, "c")), IMAGE)
    padded = image_to_msg(IMAGE, 1, "c")
    rows = np.zeros((24, 104), np.uint8)  # no multiple of a pixel
    rows[:, :96] = IMAGE.reshape(24, 96)
    padded.step, padded.data = 104, byte_array(rows)
    assert np.array_equal(image_from_msg(padded), IMAGE)


def test_bayer_needs_cv_bridge(libraries):
    message = image_to_msg(IMAGE[..., 0], 1, "c")
    message.encoding = "bayer_rggb8"
    if libraries == "installed":
        assert image_from_msg(message).shape == (24, 32, 3)
    else:
        with pytest.raises(DataError, match="bayer_rggb8"):
            image_from_msg(message)
    message.encoding = "no_such"
    with pytest.raises(DataError, match="no_such"):
        image_from_msg(message)


def test_a_broken_library_is_told_once(libraries, caplog):
    caplog.set_level("WARNING")
    for T_44 in POSES[:5]:
        pose_to_msg(T_44)
    lines = [r.getMessage() for r in caplog.records if "tf_transformations" in r.getMessage()]
    assert len(lines) == (libraries == "broken"), lines
