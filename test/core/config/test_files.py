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
