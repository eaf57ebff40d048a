"""Starting a node process: light before torch, one line when a library is missing."""

import os
import signal
import subprocess
import sys

import pytest

from ace_slam_ros.ros.process.environment import (
    PROFILE_VARIABLES,
    find_config,
    prepare_node_environment,
)

STARTER = [sys.executable, "-m", "ace_slam_ros.ros.process.start"]


def test_the_graph_is_joined_before_torch_loads():
    code = ("import sys, ace_slam_ros.ros.process.start; "
            "sys.exit(' '.join({'torch', 'scipy', 'cv2'} & set(sys.modules)) or 0)")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_a_node_loads_nothing_that_only_recordings_need():
    """Each of them costs a killed tracker a tenth of a second and more."""
    code = ("import sys, ace_slam_ros.ros.nodes.tracker, ace_slam_ros.ros.nodes.mapper; "
            "sys.exit(' '.join({'scipy.spatial', 'gtsam', 'rosbags', 'openvino', 'matplotlib'"
            "} & set(sys.modules)) or 0)")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_a_missing_library_is_one_line(tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1 is missing')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(
        [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
        "ROS_LOG_DIR": str(tmp_path / "log")}
    found = subprocess.run(
        [*STARTER, "tracker"], env=environment, capture_output=True, text=True, timeout=120)
    text = found.stdout + found.stderr
    assert found.returncode == 2
    assert "libGL.so.1 is missing" in text and "ace-slam doctor" in text
    assert "Traceback" not in text


def test_a_player_that_loads_ends_when_told(tmp_path):
    """Launch reported it as died, in red, at each Ctrl-C in its first seconds."""
    (tmp_path / "cv2.py").write_text(
        "import sys, time\nprint('loading', flush=True)\ntime.sleep(600)\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(
        [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}
    player = subprocess.Popen(
        [sys.executable, "-c", "from ace_slam_ros.ros.process.start import player; player()"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert player.stdout.readline() == "loading\n"
    player.send_signal(signal.SIGINT)
    assert player.communicate(timeout=60)[1] == "" and player.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_loads_ends_when_told(tmp_path, number):
    """It used to go on until a deadline of nine seconds, and launch sent SIGTERM meanwhile."""
    (tmp_path / "cv2.py").write_text(
        "import sys, time\nprint('loading', flush=True)\ntime.sleep(600)\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(
        [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
        "ROS_LOG_DIR": str(tmp_path / "log")}
    node = subprocess.Popen([*STARTER, "mapper"], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert node.stdout.readline() == "loading\n"
    node.send_signal(number)
    _, said = node.communicate(timeout=60)
    assert node.returncode == 0 and said == f"stopped while it was loading: {number.name}\n"


def test_refused_parameters_are_told_before_anything_is_loaded(tmp_path):
    (tmp_path / "cv2.py").write_text("import time; time.sleep(600)")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(
        [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
        "ROS_LOG_DIR": str(tmp_path / "log")}
    (tmp_path / "bad.yaml").write_text(
        "/**:\n  ros__parameters:\n    ros: {slop_s: .nan}\n    features: {mode: cubist}\n")
    found = subprocess.run(
        [*STARTER, "mapper", "--ros-args", "--params-file", str(tmp_path / "bad.yaml")],
        env=environment, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert "ros.slop_s=nan is no finite number" in found.stderr
    assert "features.mode='cubist'" in found.stderr


def test_an_unknown_node_is_refused():
    found = subprocess.run([*STARTER, "trakcer"], capture_output=True, text=True)
    assert found.returncode == 1 and "tracker, mapper, relocalizer" in found.stderr


@pytest.mark.parametrize("profile", ["ours", "a copy", "the user's"])
def test_nodes_take_the_small_segment_where_the_profile_is_ours(profile, tmp_path, monkeypatch):
    path = find_config("fastdds.xml")
    if profile != "ours":
        path = tmp_path / "fastdds.xml"
        path.write_text(find_config("fastdds.xml").read_text())
    if profile == "the user's":
        path.write_text(path.read_text() + "<!-- mine -->")
    monkeypatch.setenv(PROFILE_VARIABLES[0], str(path))
    prepare_node_environment()
    found = os.environ[PROFILE_VARIABLES[0]]
    expected = path if profile == "the user's" else find_config("fastdds_nodes.xml")
    assert found == str(expected)
