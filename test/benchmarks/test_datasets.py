"""The benchmark of public data sets: what is found, how often it runs, the table it writes."""

import json

import datasets as benchmark
import pytest
from helpers import datasets as made
from lib.published import PUBLISHED, sequence_key

from ace_slam_ros.io import open_source


@pytest.fixture
def data(tmp_path):
    made.tum_like(tmp_path / "tum" / "rgbd_dataset_freiburg1_desk")
    made.replica(tmp_path / "Replica" / "room0")
    made.scannet(tmp_path / "scene0000_00")
    (tmp_path / "nothing").mkdir()
    return tmp_path


def test_sequences_are_found_by_their_layout(data):
    found = benchmark.find(data)
    assert {(f.name, f.layout) for f in found} == {
        ("Replica/room0", "Replica (NICE-SLAM)"), ("scene0000_00", "ScanNet"),
        ("tum/rgbd_dataset_freiburg1_desk", "TUM RGB-D benchmark")}
    for sequence in found:
        assert len(open_source(sequence.path)) == made.COUNT
    assert [f.name for f in benchmark.find(data / "scene0000_00")] == ["scene0000_00"]


def test_runs_become_a_table_beside_published_errors(data, tmp_path):
    tries = []

    def run(path, out):
        tries.append(path)
        if path.name == "room0" and len(tries) % 2:
            return "ace-slam: error: no frame could be tracked"
        return {"ate_rmse_m": None if "scene" in path.name else 0.0123, "frames": 10, "tracked": 9,
                "map_bytes": 1_000_000, "keyframe_bytes": 2_000_000}

    figures = [benchmark.measure(f, run, 3, tmp_path / "runs") for f in benchmark.find(data)]
    assert len(tries) == 9
    json.dumps(figures, allow_nan=False)
    text = benchmark.table(figures, "in real time, median of 3 runs")
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if " | " in line}
    assert "1.23 (1.23, 1.23, 1.23) | 90.0 % | 1.00 | 8.30 | 1.60 | 2.00" in rows[
        "tum/rgbd_dataset_freiburg1_desk"]
    assert "1.23 (1.23, 2 failed)" in rows["Replica/room0"] and "0.61" in rows["Replica/room0"]
    assert "no ground truth" in rows["scene0000_00"] and rows["scene0000_00"].count("| - ") >= 5
    assert "ORB-SLAM2: Mur-Artal" in text and len({line.count("|") for line in rows.values()}) == 1


@pytest.mark.parametrize(("layout", "name", "key"), [
    ("TUM RGB-D benchmark", "rgbd_dataset_freiburg3_long_office_household", "fr3/office"),
    ("TUM", "tum_fr1_xyz", "fr1/xyz"), ("Replica (NICE-SLAM)", "office4", "replica/office4"),
])
def test_sequences_have_the_names_of_papers(layout, name, key):
    assert sequence_key(layout, name) == key


def test_every_published_error_names_its_source():
    assert all(p.source and p.ate_cm and min(p.ate_cm.values()) > 0 for p in PUBLISHED)
