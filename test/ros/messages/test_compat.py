"""ROS's libraries and our own code give the same; which one is used is decided once and told."""

import importlib
import os
import signal
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from helpers.node_processes import PATIENCE_S, NodeProcess, Probe
from helpers.robot_libraries import INSTALLED, CvBridge
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.ros.messages import compat
from ace_slam_ros.ros.messages.clouds import cloud_to_msg
from ace_slam_ros.ros.messages.compat import LIBRARIES, RobotLibrary, libraries_in_use
from ace_slam_ros.ros.messages.conversions import byte_array, image_from_msg, image_to_msg
from ace_slam_ros.ros.messages.poses import (
    pose_from_msg,
    pose_to_msg,
    transform_from_msg,
    transform_to_msg,
)
from ace_slam_ros.ros.qos import reliable_qos

POSES = [exp_se3(xi) for xi in np.random.default_rng(2).normal(size=(20, 6))]
POINTS = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
IMAGE = np.random.default_rng(4).integers(0, 255, (24, 32, 3)).astype(np.uint8)
NAMES = {"cv_bridge", "message_filters", "sensor_msgs_py", "tf_transformations", "tf2_ros"}


# Both give the same ------------------------------------------------------------------------


def test_each_is_used_or_stood_in_for(libraries):
    used = {lib.name for lib in LIBRARIES if lib.module() is not None}
    if libraries == "robot":
        assert used == NAMES - {lib.name for lib in LIBRARIES if lib.broken}, libraries_in_use()
    else:
        assert not used and all(lib.why_not() == "ACE_SLAM_OWN_CODE" for lib in LIBRARIES)


def test_poses_round_trip(libraries):
    for T_44 in POSES:
        for back in (pose_from_msg(pose_to_msg(T_44)), transform_from_msg(transform_to_msg(T_44))):
            assert np.allclose(back, T_44, atol=1e-9)


def test_quaternions_are_of_unit_length(libraries):
    for T_44 in POSES:
        q = pose_to_msg(T_44).orientation
        assert abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1.0) < 1e-12
        assert np.allclose(
            Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), T_44[:3, :3], atol=1e-9)


@pytest.mark.parametrize("count", [50, 1, 0])
def test_clouds(libraries, count):
    cloud = cloud_to_msg(POINTS[:count], 7, "map")
    assert (cloud.height, cloud.width, cloud.point_step) == (1, count, 12)
    assert cloud.row_step == 12 * count and not cloud.is_bigendian
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1)] and cloud.is_dense
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


def test_an_encoding_of_a_later_release_needs_cv_bridge(libraries, monkeypatch):
    message = image_to_msg(IMAGE[..., 0], 1, "c")
    message.encoding = "bayer_later8"
    if (bridge := compat.CV_BRIDGE.module()) is not None:
        monkeypatch.setattr(
            bridge.CvBridge, "imgmsg_to_cv2", lambda self, msg, wanted: IMAGE[..., ::-1])
        assert np.array_equal(image_from_msg(message), IMAGE[..., ::-1])
    else:
        with pytest.raises(DataError, match="bayer_later8"):
            image_from_msg(message)


def test_what_nobody_knows_is_refused(libraries):
    message = image_to_msg(IMAGE[..., 0], 1, "c")
    message.encoding = "no_such"
    with pytest.raises(DataError, match="no_such"):
        image_from_msg(message)


# The choice --------------------------------------------------------------------------------


def module(name="robot_library", **contents):
    made = ModuleType(name)
    for key, value in contents.items():
        setattr(made, key, value)
    return made


def add(library):
    if library.add(1, 2) != 3:
        raise compat.WrongAnswerError("it adds wrongly")


@pytest.fixture
def library(caplog):
    caplog.set_level("DEBUG")
    return RobotLibrary("robot_library", "we add by our own code", add)


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


def test_a_missing_library_is_no_trouble(library, caplog):
    assert library.answer(lambda found: found.add(1, 2), lambda: "ours") == "ours"
    assert library.why_not() == "not installed" and not library.broken and not warnings(caplog)


def test_the_choice_is_made_once(library, monkeypatch):
    """What can be imported later, or from another thread, is not used: a process does not mix."""
    assert library.module() is None
    monkeypatch.setitem(sys.modules, "robot_library", module(add=int.__add__))
    assert library.module() is None
    library.forget()
    tried = []
    monkeypatch.setattr(library, "_example", tried.append)
    threads = [threading.Thread(target=library.module) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tried) == 1 and library.module() is sys.modules["robot_library"]
    monkeypatch.setitem(sys.modules, "robot_library", None)
    assert library.answer(lambda found: found.add(1, 2), lambda: "ours") == 3


def on_import(error):
    def fail(name):
        raise error
    return fail


def refuse(*_):
    raise AttributeError("_ARRAY_API not found")


@pytest.mark.parametrize(("loaded", "words"), [
    (on_import(ImportError("libopencv.so.4: cannot open shared object")), "ImportError: libopen"),
    (on_import(AttributeError("_ARRAY_API not found")), "AttributeError: _ARRAY_API not found"),
    (on_import(ModuleNotFoundError("No module named 'tf2_py'", name="tf2_py")), "'tf2_py'"),
    (on_import(SystemError("initialization failed")), "SystemError"),
    (lambda name: module(), "AttributeError"),
    (lambda name: module(add=refuse), "AttributeError: _ARRAY_API not found"),
    (lambda name: module(add=lambda a, b: 4), "WrongAnswerError: it adds wrongly"),
])
def test_a_broken_library_is_found_at_once_and_told_once(
    library, caplog, monkeypatch, loaded, words
):
    monkeypatch.setattr(compat, "importlib", SimpleNamespace(import_module=loaded))
    for _ in range(3):
        assert library.answer(lambda found: found.add(1, 2), lambda: "ours") == "ours"
    assert len(warnings(caplog)) == 1 and library.broken
    assert words in warnings(caplog)[0] and "own code" in warnings(caplog)[0]
    assert words in library.why_not()


def test_a_call_that_fails_later_is_answered_by_us_and_told_once(library, caplog, monkeypatch):
    def sometimes(a, b):
        if a == 7:
            raise ZeroDivisionError("not seven")
        if a == 8:
            raise OverflowError("not eight")
        return a + b

    monkeypatch.setitem(sys.modules, "robot_library", module(add=sometimes))
    monkeypatch.setattr(compat, "LIBRARIES", (library,))
    found = [library.answer(lambda m, a=a: m.add(a, 1), lambda: "ours") for a in (1, 7, 7, 8, 2)]
    assert found == [2, "ours", "ours", "ours", 3]
    assert [w for w in warnings(caplog) if "ZeroDivisionError: not seven" in w] == [
        warnings(caplog)[0]] and len(warnings(caplog)) == 2
    assert "robot_library (3 calls failed: ZeroDivisionError: not seven" in libraries_in_use()


@pytest.mark.parametrize("value", ["robot_library", "cv_bridge, robot_library", "all"])
def test_our_own_code_can_be_forced(library, monkeypatch, value, caplog):
    monkeypatch.setitem(sys.modules, "robot_library", module(add=lambda a, b: a + b))
    monkeypatch.setenv(compat.OWN_CODE_VARIABLE, value)
    assert library.module() is None and library.why_not() == compat.OWN_CODE_VARIABLE
    assert not warnings(caplog) and not library.broken


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_examples_reject_what_does_nothing(name, monkeypatch):
    """A module whose every function returns None passes none of the examples."""
    class Hollow(ModuleType):
        def __getattr__(self, attribute):
            return lambda *_, **__: SimpleNamespace(
                imgmsg_to_cv2=lambda *_: None, set_transform=lambda *_: None,
                registerCallback=lambda *_: None, signalMessage=lambda *_: None, data=b"")

    tried = next(lib for lib in LIBRARIES if lib.name == name)
    tried.forget()
    monkeypatch.setattr(compat, "importlib", SimpleNamespace(import_module=Hollow))
    assert tried.module() is None and tried.broken
    tried.forget()


def test_the_stand_in_of_cv_bridge_is_like_the_real_one():
    compat.CV_BRIDGE.forget()
    if "cv_bridge" not in INSTALLED or compat.CV_BRIDGE.module() is None:
        pytest.skip(f"cv_bridge is {compat.CV_BRIDGE.why_not()}")
    real = importlib.import_module("cv_bridge").CvBridge()
    message = image_to_msg(IMAGE[..., 0], 1, "c")
    for encoding in ("mono8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"):
        message.encoding = encoding
        assert np.array_equal(
            real.imgmsg_to_cv2(message, "rgb8"), CvBridge().imgmsg_to_cv2(message, "rgb8"))


# A node ------------------------------------------------------------------------------------


def test_a_node_tells_what_it_uses(tmp_path, monkeypatch):
    """With a cv_bridge that imports and breaks in use, as binaries for another NumPy do."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "cv_bridge.py").write_text(
        "class CvBridge:\n    def imgmsg_to_cv2(self, message, encoding):\n"
        "        raise AttributeError('_ARRAY_API not found')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(
        [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv(compat.OWN_CODE_VARIABLE, "tf2_ros")
    node = NodeProcess("tracker", "/libraries", tmp_path, ros__autostart=False)
    probe, said = Probe("/libraries"), []
    probe.node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: said.extend(
        v.value for s in m.status if s.name == "libraries/tracker" for v in s.values
        if v.key == "libraries"), reliable_qos())
    try:
        probe.spin_until(lambda: said, "diagnostics", PATIENCE_S)
        assert node.end(signal.SIGTERM) == 0
    finally:
        probe.close()
        node.process.kill()
    log = node.log.read_text()
    told = [line for line in log.splitlines() if "libraries: " in line]
    assert len(told) == 1 and told[0].endswith(said[0]), log
    assert "cv_bridge (broken: AttributeError: _ARRAY_API not found)" in said[0]
    assert "tf2_ros (ACE_SLAM_OWN_CODE)" in said[0]
    assert log.count("cv_bridge is broken") == 1 and "WARN" in next(
        line for line in log.splitlines() if "cv_bridge is broken" in line)
