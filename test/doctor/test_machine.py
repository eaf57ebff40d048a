"""Checks of installation and machine that need no ROS, against machines that lack something."""

import os
from types import SimpleNamespace

import pytest

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.doctor import machine as doctor
from ace_slam_ros.doctor.findings import (
    GOOD,
    NOTE,
    PROBLEM,
    format_findings,
    has_problem,
)


def loader(**modules):
    """Import what is given: a module, or an exception."""
    def load(name):
        found = modules.get(name.replace(".", "_"), ImportError(f"No module named '{name}'"))
        if isinstance(found, Exception):
            raise found
        return found
    return load


def test_this_machine_can_run():
    found = doctor.installation(SlamConfig())
    assert not has_problem(found), format_findings(found)
    assert {"python", "torch", "encoder"} <= {f.check for f in found}


def test_libraries_are_really_imported():
    old = SimpleNamespace(__version__="1.13.1+cu117")
    exact = SimpleNamespace(__version__="2.1.0")
    found = doctor.library("torch", loader(torch=old))
    assert found.level == PROBLEM and "older than 2.1" in found.text and "--upgrade" in found.fix
    assert doctor.library("torch", loader(torch=exact)).level == GOOD
    missing = doctor.library("safetensors", loader())
    assert missing.level == PROBLEM and "pip install 'safetensors>=0.4'" in missing.fix
    broken = doctor.library("cv2", loader(cv2=AttributeError("_ARRAY_API not found")))
    assert broken.level == PROBLEM and "_ARRAY_API" in broken.text


def test_ros_packages_that_are_missing_or_broken():
    none = doctor.ros_packages(loader())
    assert [f.level for f in none] == [NOTE] and "make setup" in none[0].fix
    module = SimpleNamespace()
    chosen = SimpleNamespace(LIBRARIES=[
        SimpleNamespace(name=name, why_not=lambda why=why: why, without="our own code does it",
                        broken="broken" in why)
        for name, why in (("cv_bridge", "broken: AttributeError: _ARRAY_API not found"),
                          ("message_filters", ""), ("sensor_msgs_py", "not installed"))])
    found = {f.check: f for f in doctor.ros_packages(loader(
        rclpy=module, ace_slam_ros_ros_messages_compat=chosen))}
    assert found["messages"].level == PROBLEM and "colcon build" in found["messages"].fix
    assert found["tf2_msgs"].level == PROBLEM
    assert found["cv_bridge"].level == NOTE and "our own code" in found["cv_bridge"].text
    assert found["message_filters"].text == "installed and used"
    assert found["sensor_msgs_py"].level == GOOD and "own code" in found["sensor_msgs_py"].text
    without = {f.check: f for f in doctor.ros_packages(loader(rclpy=module))}
    assert without["ROS messages"].level == PROBLEM


def test_encoder_and_device_are_tried(tmp_path):
    config = SlamConfig().with_values({"encoder.weights": str(tmp_path / "none.safetensors")})
    assert doctor.encoder(config).level == PROBLEM
    text = doctor.encoder(SlamConfig().with_values({"encoder.runtime": "torch"})).text
    assert "hash" in text and "torch" in text and text.endswith(("on cpu, bf16", "on cpu, fp32"))
    wrong = doctor.gpu(SlamConfig().with_values({"device": "toaster"}))
    assert wrong.level == PROBLEM and "device=auto" in wrong.fix
    assert doctor.gpu(SlamConfig().with_values({"device": "cpu"})).level == GOOD


def test_python_version():
    assert doctor.python_version((3, 8, 10)).level == PROBLEM
    assert doctor.python_version((3, 12, 1)).level == GOOD


def test_shared_memory(tmp_path, monkeypatch):
    assert doctor.shared_memory(tmp_path / "none").level == PROBLEM
    monkeypatch.setattr(
        doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=64 << 20))
    found = doctor.shared_memory(tmp_path)
    assert found.level == PROBLEM and "--shm-size" in found.fix and "64 MB free" in found.text


@pytest.mark.parametrize(("size", "level"), [("212992", NOTE), ("8388608", GOOD), ("", NOTE)])
def test_socket_buffers(tmp_path, size, level):
    (tmp_path / "rmem_max").write_text(f"{size}\n")
    assert doctor.socket_buffers(tmp_path).level == level


def test_state_folder(tmp_path, monkeypatch):
    assert doctor.state_folder({"XDG_STATE_HOME": str(tmp_path / "a" / "b")}).level == GOOD
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "XDG_STATE_HOME" in doctor.state_folder({"XDG_STATE_HOME": str(tmp_path)}).fix
