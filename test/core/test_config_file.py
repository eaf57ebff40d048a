"""The configuration file in config/ is the one the code generates."""

from ace_slam_ros.core.config import SlamConfig, load_config
from ace_slam_ros.core.parameters import dump_yaml


def test_shipped_configuration_holds_the_defaults(repository):
    shipped = repository / "config" / "slam.yaml"
    assert shipped.read_text() == dump_yaml(SlamConfig()), (
        "regenerate it: ace-slam dump-config > config/slam.yaml")


def test_shipped_configuration_loads(repository):
    assert load_config(repository / "config" / "slam.yaml") == SlamConfig()
