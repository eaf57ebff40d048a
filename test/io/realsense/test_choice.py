"""Which camera, which streams, and what errors say; without the library and without a camera."""

import sys
from pathlib import Path

import pytest

from ace_slam_ros.cli import main
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io.open_source import open_camera, open_source
from ace_slam_ros.io.realsense.devices import Device, choose, wanted_serial
from ace_slam_ros.io.realsense.factory_calibration import ros_lens_model
from ace_slam_ros.io.realsense.library import CameraError, explained, import_library
from ace_slam_ros.io.realsense.streams import Mode, choices

D435 = Device(None, "Intel RealSense D435", "11", "3.2")
D405 = Device(None, "Intel RealSense D405", "22", "2.1")


@pytest.mark.parametrize(("source", "serial"), [
    ("realsense", ""), ("realsense:11", "11"), ("realsense:", None), ("/data/realsense", None),
    ("realsense2", None), ("out/realsense", None)])
def test_a_source_names_a_camera(source, serial):
    assert wanted_serial(Path(source)) == serial


def test_a_folder_of_the_same_name_is_asked_about(tmp_path, monkeypatch):
    (tmp_path / "realsense").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CameraError, match="full path"):
        wanted_serial(Path("realsense"))


def test_the_wanted_camera_is_chosen_or_all_are_named():
    assert choose([D435]) is D435 and choose([D435, D405], "22") is D405
    with pytest.raises(CameraError, match="no RealSense camera is connected: plug it"):
        choose([])
    with pytest.raises(CameraError, match="name one as realsense:SERIAL.*serial 11.*serial 22"):
        choose([D435, D405])
    with pytest.raises(CameraError, match="serial 33 is connected, but: .*serial 11"):
        choose([D435], "33")


def test_streams_fit_the_camera_and_its_connection():
    sizes = [(1280, 720), (848, 480), (640, 480), (480, 270)]
    offered = [Mode(*size, rate) for size in sizes for rate in (6, 15, 30, 60)]
    assert choices(offered, offered)[0] == ((640, 480, 30), (848, 480, 30))
    assert choices(offered, offered, "2.1")[0] == ((640, 480, 15), (640, 480, 15))
    # A slower stream than wanted is worse than a faster one, another size is the last resort.
    only = [Mode(640, 480, 15), Mode(640, 480, 60)]
    assert choices(only, only)[0].color.rate_hz == 60
    assert choices([Mode(640, 480, 30)], [Mode(640, 480, 15)]) == []


@pytest.mark.parametrize(("text", "meaning"), [
    ("xioctl failed, errno=16 Last Error: Device or resource busy", "another program"),
    ("failed to set power state", "another program"),
    ("failed to open usb interface: 0, error: RS2_USB_STATUS_ACCESS", "udev rules"),
    ("No device connected", "plug it in again"),
    ("Couldn't resolve requests", "USB 3 port"),
    ("something else", "something else")])
def test_errors_of_the_library_say_what_to_do(text, meaning):
    assert meaning in explained(RuntimeError(text)) and text in explained(RuntimeError(text))


@pytest.mark.parametrize(("recorded", "live"), [
    ("Inverse Brown Conrady", "inverse_brown_conrady"), ("None", "none")])
def test_lens_models_are_the_same_live_and_recorded(recorded, live):
    assert ros_lens_model(recorded) == ros_lens_model(live) == "plumb_bob"
    assert ros_lens_model("Ftheta") == "Ftheta"


def test_without_the_library_the_command_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(CameraError, match="pip install 'pyrealsense2>=2.56,<3'"):
        open_camera()
    monkeypatch.chdir(tmp_path)
    assert main(["run", "realsense"]) == 2
    assert "pip install 'pyrealsense2" in capsys.readouterr().err


def test_a_machine_without_libusb_is_told_the_command(monkeypatch, tmp_path):
    (tmp_path / "pyrealsense2.py").write_text(
        "raise ImportError('libusb-1.0.so.0: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyrealsense2", raising=False)
    with pytest.raises(CameraError, match="sudo apt install libusb-1.0-0"):
        import_library()


@pytest.mark.parametrize(("arguments", "said"), [
    (["run", "realsense", "--every-frame"], "--every-frame: a live camera waits for nobody"),
    (["run", "realsense", "--realtime", "--rate", "2"], "--rate: a live camera"),
    (["run", "realsense", "--set", "ros.slop_s=0.1"], "nothing in `ace-slam run realsense`"),
    (["run", "recording", "--seconds", "3"], "--seconds is for a live camera"),
    (["relocalize", "map", "recording", "--seconds", "3"], "--seconds is for a live camera"),
    (["convert", "realsense", "out"], "only `ace-slam run` and `relocalize`")])
def test_options_that_would_change_nothing_are_refused(
    arguments, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_other_commands_say_that_they_need_a_recording():
    with pytest.raises(DataError, match="needs a recording"):
        open_source(Path("realsense"))
