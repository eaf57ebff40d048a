"""The benchmark of changed views: its cases are kept, its figures are of all rooms together."""

import numpy as np
import pytest
from change import Comparison, Rows, table
from lib.changed_views import Case, cases_of
from lib.known_poses import PosedFeatures, Relocalizations

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.synth.worlds import make_world


def answers(*errors_m):
    count = len(errors_m)
    return Relocalizations(np.array(errors_m), np.zeros(count), np.full(count, 0.5),
                           np.full(count, 0.25), 1.0, 2.0, 3.0)


def test_figures_are_of_all_queries_alike():
    rows = Rows([answers(0.01, 0.07, np.inf), answers(0.2)], [1_000_000, 2_000_000])
    found = rows.figures()
    assert found["queries"] == 4 and found["map_mb"] == pytest.approx(1.5)
    assert found["recall_5cm_5deg"] == 0.25 and found["recall_10cm_5deg"] == 0.5
    text = table({"aside": {"affine": rows}}, ("affine",))
    assert text.splitlines()[-1] == "| aside | 50 / 50 |"


@pytest.mark.render
def test_heads_are_asked_and_cases_are_kept(encoder, tmp_path, monkeypatch):
    world, config = make_world("room", 1), SlamConfig()
    views = []
    for number, T in enumerate(world.trajectory(60).T_map_cam_N44[::20]):
        frame = world.picture(T, number).frame
        views.append(PosedFeatures(
            0, T, extract_features(encoder, frame, config.features, config.sensor),
            frame.camera))
    made = {"same": Case("all", views, views[:1]), "nothing": Case("all", views, [])}
    monkeypatch.setattr("lib.changed_views._make", lambda *_: made)
    first = cases_of(1, 1, tmp_path)
    monkeypatch.setattr("lib.changed_views._make", None)
    kept = cases_of(1, 1, tmp_path)
    assert kept.keys() == first.keys() and len(kept["same"].learned) == 3
    compared = Comparison({"untrained": tmp_path / "none"}, {"tokens": 3000})
    compared.ask(kept, 1)
    assert list(compared.rows) == ["same"]
    for name in ("affine", "aceg", "affine+aceg", "aceg untrained"):
        assert compared.rows["same"][name].figures()["recall_5cm_5deg"] == 1.0
