"""What a stop before anything is loaded means: a mapper that was to save says so."""

import os
import signal
import subprocess
import sys

import pytest

from ace_slam_ros.ros.process.early_stop import UNSAVED, asks_to_save


def written(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False)])
def test_the_command_line_tells_whether_a_map_is_to_be_saved(tmp_path, value, expected):
    assert asks_to_save(["node", "--ros-args", "-p", f"ros.save_on_exit:={value}"]) is expected
    nested = written(
        tmp_path, f"/**:\n  ros__parameters:\n    ros:\n      save_on_exit: {value}\n")
    assert asks_to_save(["node", "--ros-args", "--params-file", nested]) is expected
    inline = written(tmp_path, f"/**: {{ros__parameters: {{ros: {{'save_on_exit': {value}}}}}}}\n")
    assert asks_to_save(["node", "--params-file", inline]) is expected
    assert not asks_to_save(["node", "--params-file", str(tmp_path / "none.yaml")])
    assert not asks_to_save(["node", "--params-file"])


@pytest.mark.parametrize(("name", "value", "code"), [
    ("mapper", "true", UNSAVED), ("mapper", "false", 0), ("tracker", "true", 0)])
def test_a_stop_at_once_is_no_clean_end_of_what_was_to_be_saved(name, value, code):
    program = ("import sys, time\n"
               "from ace_slam_ros.ros.process.early_stop import end_at_once\n"
               "end_at_once(sys.argv[1], sys.argv)\nprint('ready', flush=True)\ntime.sleep(60)\n")
    node = subprocess.Popen(
        [sys.executable, "-c", program, name, "-p", f"ros.save_on_exit:={value}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert node.stdout.readline() == "ready\n"
    node.send_signal(signal.SIGINT)
    said = node.communicate(timeout=60)[1]
    assert node.returncode == code and ("nothing is saved" in said) == (code == UNSAVED)
