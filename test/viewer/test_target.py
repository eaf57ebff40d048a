"""Targets of the view are checked at once; what is missing is said."""

import subprocess
import sys

import pytest

from ace_slam_ros.viewer import target as view_target


def test_without_rerun_it_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(view_target.ViewError, match="pip install 'rerun-sdk"):
        view_target.check_target("x.rrd")


def test_targets_are_checked_before_anything_slow(monkeypatch, tmp_path):
    monkeypatch.setattr(view_target, "import_rerun", lambda: None)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(view_target.ViewError, match="--view=FILE.rrd"):
        view_target.check_target("")
    monkeypatch.setenv("DISPLAY", ":0")
    view_target.check_target("")
    view_target.check_target("rerun+http://robot:9876/proxy")
    with pytest.raises(view_target.ViewError, match="ends in .rrd"):
        view_target.check_target(str(tmp_path))


def test_command_line_refuses_a_bad_view_at_once(tmp_path, tum_fr1_xyz):
    done = subprocess.run(
        [sys.executable, "-m", "ace_slam_ros.cli", "run", str(tum_fr1_xyz), "--out",
         str(tmp_path / "out"), "--view", str(tmp_path)], capture_output=True, text=True,
        check=False)
    assert done.returncode == 2 and "--view" in done.stderr
