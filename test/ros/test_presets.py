"""The configuration files in config/ are the ones the code generates."""

import pytest

from ace_slam_ros.core.config.fields import dump_yaml, flatten
from ace_slam_ros.core.config.files import load_config
from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.ros.config import NodeConfig
from ace_slam_ros.ros.presets import PRESETS, preset_yaml


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_file_is_current(repository, name):
    shipped = repository / "config" / f"{name}.yaml"
    assert shipped.read_text() == preset_yaml(name), (
        f"regenerate it: ace-slam dump-config --preset {name} > config/{name}.yaml")


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_file_loads_and_differs_where_it_says(repository, name):
    found = load_config(repository / "config" / f"{name}.yaml", NodeConfig)
    assert found == PRESETS[name].config()
    default = flatten(NodeConfig())
    changed = {k: v for k, v in flatten(found).items() if v != default[k]}
    assert changed == PRESETS[name].values, "a preset names only what differs"


def test_defaults_have_no_header_and_unknown_presets_are_named():
    assert preset_yaml("slam") == dump_yaml(NodeConfig())
    assert "preset: l515" in preset_yaml("l515")
    with pytest.raises(ConfigError, match="choose one of slam, localization, realsense"):
        preset_yaml("moon")
