"""Configuration files: every parameter explained, mistakes refused with the fix."""

import pytest

from ace_slam_ros.core.config.fields import describe
from ace_slam_ros.core.config.files import load_config, load_ros_own
from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.errors import ConfigError


def test_every_parameter_is_explained(repository):
    lines = (repository / "config" / "realsense.yaml").read_text().splitlines()
    for name, meta in describe(SlamConfig()).items():
        leaf = name.rpartition(".")[2]
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{leaf}:"))
        assert meta["doc"] and lines[at - 1].strip().startswith("# ")


def test_entries_of_ros_itself_are_kept_apart(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text(
        "/**:\n  ros__parameters:\n    use_sim_time: true\n    tracker: {window: 3}\n"
        "    solver.hypotheses: 77\n"
        "    qos_overrides:\n      /camera/color/image_raw: {subscription: {depth: 5}}\n"
        "    qos_overrides./camera/depth.subscription.reliability: reliable\n")
    assert load_config(path) == SlamConfig().with_values(
        {"tracker.window": 3, "solver.hypotheses": 77})
    assert load_ros_own(path) == {
        "qos_overrides": {"/camera/color/image_raw": {"subscription": {"depth": 5}}},
        "qos_overrides./camera/depth.subscription.reliability": "reliable"}
    assert load_ros_own(None) == {} and load_config(None) == SlamConfig()


@pytest.mark.parametrize("text, words", [
    ("/tracker:\n  ros__parameters:\n    seed: 1\n", "'/tracker' is for one node.*/\\*\\*"),
    ("- seed\n", "expected sections"),
    ("/**: 3\n", "expected sections"),
    ("qos_override:\n  /image: {depth: 1}\n", "unknown parameter"),
    ("seed: [1\n", "not yaml"),
])
def test_what_cannot_be_meant_is_refused_with_the_fix(tmp_path, text, words):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(path)


@pytest.mark.parametrize(("old", "new", "value"), [
    ("ros.mode", "mode", "localization"),
    ("tracker.segment_after_s", "tracker.submap_after_s", 7.0),
    ("head.neighbours", "head.neighbors", 3),
])
def test_names_of_earlier_versions_go_on_working(tmp_path, caplog, old, new, value):
    expected = SlamConfig().with_values({new: value})
    assert SlamConfig().with_overrides([f"{old}={value}"]) == expected
    assert f"'{old}' is called '{new}' now" in caplog.text
    section, _, name = old.partition(".")
    path = tmp_path / "old.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    {section}: {{{name}: {value}}}\n")
    assert load_config(path) == expected


def test_the_section_of_the_nodes_is_nothing_to_the_core(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text("ros: {slop_s: 0.5}\nseed: 4\n")
    assert load_config(path) == SlamConfig().with_values({"seed": 4})
    with pytest.raises(ConfigError, match="ros.slop_s"):
        SlamConfig().with_overrides(["ros.slop_s=0.5"])


def test_refused_values_name_the_real_key():
    with pytest.raises(ConfigError, match=r"^features\.count=10 is outside"):
        SlamConfig().with_values({"features.count": 10})
    with pytest.raises(ConfigError, match=r"^mode='flying': choose one of mapping, localization"):
        SlamConfig(mode="flying")
