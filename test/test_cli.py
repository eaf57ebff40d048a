"""The command line: help of every subcommand, bad usage and bad input as one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ace_slam_ros import __version__, cli
from ace_slam_ros.apps.sources import offline_config
from ace_slam_ros.core.config.files import load_config
from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.io.source import ReadOptions

COMMANDS = ("run", "relocalize", "synth", "convert", "up", "demo", "dump-config")


def _call(*args: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ace_slam_ros", *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err.strip()
    assert err.startswith("ace-slam: error: ") and "\n" not in err, err
    return err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"ace-slam {command}" in capsys.readouterr().out


def test_help_lists_every_command_without_heavy_imports() -> None:
    code, out, _ = _call("--help")
    assert code == 0
    assert all(re.search(rf"^    {command}\b", out, re.M) for command in COMMANDS)
    probe = (
        "import sys; import ace_slam_ros.cli as c\n"
        "try: c.main(['--help'])\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'rclpy', 'cv2', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert "heavy: []" in done.stdout, done.stdout + done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [
    [], ["fly"], ["run"], ["relocalize", "x"],
    ["run", "x", "--out", "y", "--realtime", "--every-frame"],
    ["synth", "x", "--world", "moon"], ["synth", "x", "--motion", "wild"],
    ["up", "--rate", "fast"], ["up", "--rate", "0"], ["dump-config", "--log-level", "x"],
])
def test_bad_usage_exits_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: ace-slam" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["run"], ["relocalize", "map"]])
def test_missing_source_is_one_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert cli.main([*command, str(missing), "--out", str(tmp_path / "out")]) == cli.BAD_INPUT
    assert f"{missing} does not exist" in _one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_convert_of_a_missing_source_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["convert", str(tmp_path / "no"), str(tmp_path / "out")]) == cli.BAD_INPUT
    assert "does not exist" in _one_line(capsys)


def test_unknown_parameter_suggests_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dump-config", "--set", "tracker.refin=true"]) == cli.BAD_INPUT
    assert "did you mean 'tracker.refine'?" in _one_line(capsys)


@pytest.mark.parametrize(("arguments", "words"), [
    (["run", "x", "--set", "ros.map_frame=m"],
     "ros.map_frame changes nothing in `ace-slam run --every-frame`"),
    (["run", "x", "--realtime", "--set", "mapper.autosave_s=1"], "in `ace-slam run --realtime`"),
    (["run", "x", "--set", "tracker.frame_deadline_ms=9"], "frame_deadline_ms changes nothing"),
    (["relocalize", "m", "x", "--set", "ros.map_dir=m"], "ros.map_dir changes nothing"),
    (["relocalize", "m", "x", "--set", "tracker.refine=false"], "in `ace-slam relocalize`"),
    (["up", "--clock", "--rate", "2", "--color", "/c"], "--color, --clock, --rate: only with"),
    (["up", "--bag", "x", "--set", "ros.color_transport=raw"], "--bag decides it"),
])
def test_what_would_change_nothing_is_refused(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [] if arguments[0] == "up" else ["--out", str(tmp_path / "out")]
    assert cli.main([*arguments, *out]) == cli.BAD_INPUT
    assert words in _one_line(capsys)


def test_the_slop_of_the_nodes_is_that_of_recordings(tmp_path: Path) -> None:
    file = tmp_path / "nodes.yaml"
    file.write_text("/**:\n  ros__parameters:\n"
                    "    ros: {slop_s: 0.3, stamps: arrival, map_frame: m}\n")
    for arguments in (["--config", str(file)],
                      ["--set", "ros.slop_s=0.3", "--set", "ros.stamps=arrival"]):
        args = cli._parser().parse_args(
            ["run", "x", "--out", "y", "--depth", "/d", *arguments])
        config, options = offline_config(args, "run --realtime")
        assert config == SlamConfig() and type(config) is SlamConfig
        assert options == ReadOptions(depth="/d", slop_s=0.3, stamps="arrival")


def test_a_rate_needs_real_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "x", "--out", str(tmp_path / "o"), "--rate", "2"]) == 2
    assert "--rate needs --realtime" in _one_line(capsys)
    with pytest.raises(SystemExit):
        cli.main(["run", "x", "--out", "y", "--realtime", "--rate", "0"])


@pytest.mark.parametrize("assignment", [
    "tracker.refine", "tracker.refine=3", "seed=-1", "device=[", "mode=flying",
])
def test_refused_values_are_one_line(
    assignment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dump-config", "--set", assignment]) == cli.BAD_INPUT
    assert assignment.partition("=")[0].rpartition(".")[2] in _one_line(capsys)


def test_dump_config_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dump-config", "--set", "solver.hypotheses=77"]) == cli.DONE
    path = tmp_path / "config.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_config(path) == SlamConfig().with_values({"solver.hypotheses": 77})
    assert cli.main(["dump-config", "--config", str(path)]) == cli.DONE
    assert capsys.readouterr().out == path.read_text()


def test_unexpected_failure_and_interrupt_have_their_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(cli, "_dump_config", fail)
    assert cli.main(["dump-config"]) == cli.FAILED
    assert "RuntimeError: two lines" in _one_line(capsys)

    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dump_config", interrupt)
    assert cli.main(["dump-config"]) == cli.INTERRUPTED
    _one_line(capsys)
