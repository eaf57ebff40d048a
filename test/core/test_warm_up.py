"""What frames need is compiled before the first one, and the log says nothing of it."""

import logging

import pytest
from helpers.rooms import CONFIG, LOCALIZATION

from ace_slam_ros.core.runtime import compiled
from ace_slam_ros.core.slam import Slam
from ace_slam_ros.core.warm_up import warm_up


@pytest.mark.render
@pytest.mark.parametrize("config", [CONFIG, LOCALIZATION], ids=["mapping", "localization"])
def test_frames_compile_nothing_after_it(config, encoder, room_frames, caplog):
    with caplog.at_level(logging.INFO, "ace_slam_ros"):
        warm_up(config, encoder)
    assert not [r for r in caplog.records if "compiled" not in r.message]
    before, slam = compiled.signatures(), Slam(CONFIG, encoder)
    for frame in room_frames[:20]:
        slam.process(frame)
    assert compiled.signatures() == before and (before or not compiled.AVAILABLE)
