"""A live camera is tracked and mapped as a recording is; Ctrl-C or a pulled plug keeps the map."""

import json
import os
import signal
import threading
import time

import pytest
from helpers.rooms import CONFIG
from helpers.software_camera import Offer, SoftwareCamera
from helpers.wall import CAMERA, Wall, wander

from ace_slam_ros.apps.live_end import ends_when_told
from ace_slam_ros.apps.relocalize import relocalize_sequence
from ace_slam_ros.apps.results import next_lines
from ace_slam_ros.apps.run import run_sequence
from ace_slam_ros.apps.sources import source_lines
from ace_slam_ros.io.realsense.devices import device_of
from ace_slam_ros.io.realsense.source import RealSenseSource

pytest.importorskip("pyrealsense2", exc_type=ImportError)

FRAMES = 24


@pytest.fixture(scope="module")
def views():
    wall = Wall()
    return [wall.look(T) for T in wander(90)[:FRAMES]]


def plugged_in(views, seconds=None):
    """A source whose camera, once started, shows the views forth and back for minutes."""
    camera = SoftwareCamera(Offer(CAMERA), Offer(CAMERA))
    source = RealSenseSource(device_of(camera.handle), seconds=seconds)
    return source, lambda: camera.play([*views, *views[-2:0:-1]] * 80, rate_hz=15.0)


@pytest.mark.slow
def test_ctrl_c_saves_the_map_and_queries_find_the_camera_in_it(views, tmp_path, capfd):
    out, found = tmp_path / "run", tmp_path / "found"
    out.mkdir()
    found.mkdir()
    source, start = plugged_in(views)
    start()

    def press() -> None:
        while len(source) < FRAMES:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    run_sequence(source, CONFIG, out, realtime=True, progress=False)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["camera"]["ended"] == "as told" and source.trouble == ""
    assert summary["tracked"] >= 2 and summary["source"] == "realsense:0123"
    assert (out / "map" / "manifest.json").is_file()
    assert "once more leaves without saving" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    source, start = plugged_in(views, seconds=0.3)
    start()
    answers = relocalize_sequence(out / "map", source, CONFIG, found, progress=False)
    assert answers.extra["answered"] >= 1 and source.trouble == ""


def test_it_says_which_camera_and_how_to_go_on(views, tmp_path, monkeypatch):
    source, _ = plugged_in(views)
    camera, how = source_lines(source.choice)
    assert "Intel RealSense D435 (serial 0123, USB 3.2): color 320x240 at 30 Hz" in camera
    assert "Ctrl-C" in how
    source.stop()
    monkeypatch.chdir(tmp_path)
    look, locate = next_lines(tmp_path / "map", source.path, mapped=True)
    assert "ace-slam run realsense:0123 --map map" in look
    assert "ace-slam relocalize map realsense:0123" in locate


def test_a_second_ctrl_c_interrupts_and_recordings_are_interrupted_at_once(views):
    source, _ = plugged_in(views)
    with pytest.raises(KeyboardInterrupt), ends_when_told(source):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)  # the first one is only noted
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    assert source.path.name == "realsense:0123"
    with pytest.raises(KeyboardInterrupt), ends_when_told(object()):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
