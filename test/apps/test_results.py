"""Folders of results that nobody named, what they replace, and the commands that come next."""

import json

import pytest

from ace_slam_ros import cli
from ace_slam_ros.apps import results
from ace_slam_ros.apps.results import free_folder, lines_after_up, next_lines, results_line


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_results_get_a_folder_of_their_own(here):
    assert free_folder("room") == results.RESULTS / "room"
    (here / "out" / "room").mkdir(parents=True)
    assert free_folder("room").name == "room", "an empty folder is free"
    (here / "out" / "room" / "summary.json").touch()
    assert free_folder("room").name == "room_2"
    (here / "out" / "room_2").touch()
    assert free_folder("room").name == "room_3"


def test_what_is_replaced_is_told(here):
    out = here / "out"
    assert results_line(out) == f"  results   {out}"
    (out / "map").mkdir(parents=True)
    (out / "map" / "manifest.json").touch()
    assert f"{out}: replaces the map and results of an unknown source of 2" in results_line(out)
    (out / "summary.json").write_text(json.dumps({"source": "/data/attic"}))
    assert "replaces the map and results of /data/attic of " in results_line(out)


def test_the_commands_that_come_next_can_be_typed(here):
    made, recording = here / "out" / "my room" / "map", here / "a.mcap"
    recording.touch()
    for source, mapped in ((recording, True), (None, True), (recording, False)):
        lines = next_lines(made, source, mapped=mapped)
        assert len(lines) == 2
        for line in lines:
            assert "'out/my room/map'" in line
            words = line[line.index("ace-slam") + 9:].replace("'out/my room/map'", "MAP").split()
            args = cli._parser().parse_args(words)
            assert str(args.map) == "MAP"
            if hasattr(args, "source"):
                assert str(args.source) == ("RECORDING" if source is None else "a.mcap")
    assert "relocalize" in next_lines(made, None, mapped=True)[1]


def test_the_end_of_live_nodes_tells_the_same_or_how_to_keep_a_map(here):
    made = here / "kept"
    for folder in ("", str(made)):
        line, = lines_after_up(folder, None, mapped=True)
        assert "no map was saved: --map out/NAME/map --set ros.save_on_exit=true" in line
    made.mkdir()
    (made / "manifest.json").touch()
    assert lines_after_up(str(made), None, mapped=True) == next_lines(made, None, mapped=True)
