"""What a tracker, a mapper and a localization run is compiled before the first frame."""

import logging

import pytest

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.runtime import compiled
from ace_slam_ros.core.runtime.device import choose_device
from ace_slam_ros.core.warm_up import warm_up


@pytest.mark.parametrize("mode", ["mapping", "localization"])
def test_every_kernel_is_compiled_and_the_log_is_quiet(mode, caplog):
    config = SlamConfig().with_values({"mode": mode})
    with caplog.at_level(logging.INFO, "ace_slam_ros"):
        warm_up(config, load_encoder(config.encoder, choose_device("cpu")))
    assert not compiled.uncompiled()
    assert not [r for r in caplog.records if "new map" in r.message or r.levelname == "WARNING"]
    assert logging.getLogger("ace_slam_ros").level != logging.ERROR
