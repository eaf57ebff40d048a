"""What a stop before anything is loaded means: a mapper that was to save says so."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ace_slam_ros.ros.process.early_stop import (
    UNSAVED,
    lost_by_early_stop,
    lost_while_loading,
)


def written(tmp_path, text, name="params.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


SAVE = ["-p", "ros.save_on_exit:=true", "-p", "ros.map_dir:=/maps/hall"]


def in_file(tmp_path, node, **more):
    """A parameter file that asks a node to save."""
    tree = {"ros": {"save_on_exit": True, "map_dir": "/maps/hall"}, **more}
    text = f"{node}:\n  ros__parameters: {json.dumps(tree)}\n"
    return ["--params-file", written(tmp_path, text)]


def test_the_command_line_tells_what_an_early_stop_loses(tmp_path):
    """Without ROS, and as the mapper itself would say it."""
    def lost(*command, name="mapper"):
        return lost_by_early_stop(name, ["node", "--ros-args", *command])

    said = lost_while_loading(True, "mapping", "/maps/hall")
    assert "nothing is saved to /maps/hall" in said
    for command in (
        SAVE, in_file(tmp_path, "/**"), in_file(tmp_path, "mapper"),
        in_file(tmp_path, "/robot/mapper"), ["-p", "ros.save_on_exit:=false", *SAVE],
        [*in_file(tmp_path, "/**"), "--params-file", written(tmp_path, "- no\n: {{ yaml", "bad")],
        ["--param", "mapper:ros.save_on_exit:=true", *SAVE[2:]],
    ):
        assert lost(*command) == said, command
    nested = written(tmp_path, "robot:\n  mapper:\n    ros__parameters:\n      "
                     "ros.save_on_exit: true\n      ros.map_dir: /maps/hall\n")
    assert lost("--params-file", nested) == said
    for command in (
        [], SAVE[:2], SAVE[2:], [*SAVE, "-p", "ros.save_on_exit:=false"],
        [*SAVE, "-p", "mode:=localization"], in_file(tmp_path, "/**", mode="localization"),
        in_file(tmp_path, "/robot/tracker"), ["--params-file", str(tmp_path / "none.yaml")],
        ["--param", "tracker:ros.save_on_exit:=true", *SAVE[2:]], ["--params-file"], ["-p", "x"],
    ):
        assert lost(*command) == "", command
    assert lost(*SAVE, name="tracker") == ""
    renamed = ["-r", "__node:=cartographer", *in_file(tmp_path, "/cartographer")]
    assert lost(*renamed) == said and lost(*renamed[2:]) == ""


@pytest.mark.parametrize(("name", "arguments", "code"), [
    ("mapper", SAVE, UNSAVED), ("mapper", SAVE[:2], 0), ("tracker", SAVE, 0)])
def test_a_stop_at_once_is_no_clean_end_of_what_was_to_be_saved(name, arguments, code):
    program = ("import sys, time\n"
               "from ace_slam_ros.ros.process.early_stop import end_at_once\n"
               "end_at_once(sys.argv[1], sys.argv)\nprint('ready', flush=True)\ntime.sleep(60)\n")
    node = subprocess.Popen(
        [sys.executable, "-c", program, name, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert node.stdout.readline() == "ready\n"
    node.send_signal(signal.SIGINT)
    said = node.communicate(timeout=60)[1]
    assert node.returncode == code and ("nothing is saved" in said) == (code == UNSAVED)
