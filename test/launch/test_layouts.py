"""The layouts for RViz and Foxglove show topics that exist, with a QoS that delivers."""

import json
import re

import pytest
import yaml

SERVICES = {"relocalize", "save_map", "load_map", "reset", "pause"}


@pytest.fixture(scope="module")
def documented(repository):
    """Topic and service names of docs/interfaces.md."""
    text = (repository / "docs" / "interfaces.md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| (in|out|service) \|", line)]
    return {name for row in rows for name in re.findall(r"`([a-z_/]+)`", row)}


@pytest.fixture(scope="module")
def foxglove(repository):
    return json.loads((repository / "config" / "foxglove_layout.json").read_text())


def panels(layout):
    if isinstance(layout, str):
        return [layout]
    assert 0 < layout["splitPercentage"] < 100
    return panels(layout["first"]) + panels(layout["second"])


def test_every_foxglove_panel_is_placed_once(foxglove):
    assert sorted(panels(foxglove["layout"])) == sorted(foxglove["configById"])


def test_foxglove_shows_documented_topics(foxglove, documented):
    config = foxglove["configById"]
    topics = set(config["3D!map"]["topics"])
    topics |= {p["value"].split(".")[0] for name in config for p in config[name].get("paths", [])}
    topics |= set(config["Image!color"]["imageMode"].values())
    topics.add(config["3D!map"]["publish"]["poseEstimateTopic"])
    assert {t.lstrip("/") for t in topics} <= documented and len(topics) >= 8
    for name in ("/map", "/obstacles", "/pose"):
        assert config["3D!map"]["topics"][name]["visible"], name
    called = {c["serviceName"].lstrip("/") for c in config.values() if "serviceName" in c}
    assert called <= SERVICES
    for panel in config.values():
        json.loads(panel.get("requestPayload", "{}"))


def test_foxglove_plots_fields_of_the_message(foxglove, repository):
    fields = (repository / "msg" / "SlamStatus.msg").read_text()
    for name, panel in foxglove["configById"].items():
        for path in panel.get("paths", []):
            field = path["value"].split(".")[1]
            assert re.search(rf"^\w+ {field}\b", fields, re.MULTILINE), name


def test_rviz_shows_documented_topics(repository, documented):
    tree = yaml.safe_load((repository / "config" / "slam.rviz").read_text())
    displays = tree["Visualization Manager"]["Displays"]
    topics = {d["Topic"]["Value"]: d for d in displays if "Topic" in d}
    assert set(topics) <= documented and {"map", "obstacles", "pose"} <= set(topics)
    assert topics["map"]["Topic"]["Durability Policy"] == "Transient Local"
    assert topics["rgb/image"]["Topic"]["Reliability Policy"] == "Best Effort"
    assert topics["map_points"]["Topic"]["Durability Policy"] == "Transient Local"
