"""A live camera is tracked and mapped as a recording is; Ctrl-C or a pulled plug keeps the map."""

import json
import os
import signal
import threading
import time

import pytest
from helpers.software_camera import Offer, SoftwareCamera, needs_library
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.apps.live_end import ends_when_told
from ace_slam_ros.cli import main
from ace_slam_ros.io.realsense import devices
from ace_slam_ros.io.realsense.source import RealSenseSource

needs_library()

FRAMES = 24


@pytest.fixture(scope="module")
def views():
    wall = Wall()
    return [wall.look(T) for T in wander(90)[:FRAMES]]


def plugged_in(views, monkeypatch, repeat=80):
    """A camera that, once started, shows the views forth and back, and is silent afterwards."""
    camera = SoftwareCamera(Offer(CAMERA), Offer(CAMERA))
    monkeypatch.setattr(devices, "connected", lambda: [devices.device_of(camera.handle)])
    return lambda: camera.play([*views, *views[-2:0:-1]] * repeat, rate_hz=15.0)


@pytest.mark.slow
def test_ctrl_c_saves_the_map_and_queries_find_the_camera_in_it(
    views, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    plugged_in(views, monkeypatch)()

    def press() -> None:
        written = tmp_path / "out" / "realsense"
        while not written.is_dir():  # so the command has begun
            time.sleep(0.1)
        while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            time.sleep(0.1)
        time.sleep(3.0)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    settings = ["--set", "encoder.threads=1", "--set", "device=cpu"]
    assert main(["run", "realsense", *settings]) == 0
    told = capfd.readouterr()
    assert "camera    Intel RealSense D435 (serial 0123, USB 3.2): color 320x240 at 30" in told.out
    assert "sensor    noise and range of RealSense D435" in told.out
    assert "ace-slam relocalize out/realsense/map realsense" in told.out
    assert "once more leaves without saving" in told.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    summary = json.loads((tmp_path / "out/realsense/summary.json").read_text())
    assert summary["camera"]["ended"] == "as told" and summary["tracked"] >= 2
    assert summary["sensor"]["preset"] == "d435" and summary["source"] == "realsense:0123"

    plugged_in(views[:6], monkeypatch, repeat=1)()
    assert main(["relocalize", "out/realsense/map", "realsense", *settings]) == 1
    assert "delivers no images" in capfd.readouterr().err
    summary = json.loads((tmp_path / "out/realsense_relocalized/summary.json").read_text())
    assert summary["answered"] >= 1


def test_a_second_ctrl_c_interrupts_and_recordings_are_interrupted_at_once():
    camera = SoftwareCamera(Offer(CAMERA), Offer(CAMERA))
    source = RealSenseSource(devices.device_of(camera.handle))
    with pytest.raises(KeyboardInterrupt), ends_when_told(source):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)  # the first one is only noted
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    assert source.path.name == "realsense:0123"
    with pytest.raises(KeyboardInterrupt), ends_when_told(object()):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
