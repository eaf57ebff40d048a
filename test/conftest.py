"""Fixtures for all tests: the repository, recorded data where it exists, a room and its map."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.paths import ROOT, SHARED

from ace_slam_ros.core.runtime.library_threads import calm_library_threads

if TYPE_CHECKING:  # a test without torch shall not wait for it
    from ace_slam_ros.core.data.frame import Frame
    from ace_slam_ros.core.encoders.base import Encoder
    from ace_slam_ros.core.mapping.mapper import Mapper
    from ace_slam_ros.core.tracking.result import TrackResult

# Before any test imports numpy: the suite and whatever else runs on the machine get a core each,
# and do not spin for each other.
calm_library_threads()
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before any test imports rclpy: a DDS domain of this run's own, in which nothing else on this
# machine or network answers or listens.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tum_fr1_xyz() -> Path:
    """A real recorded sequence; tests that need it are skipped where it is absent."""
    folder = SHARED / "data" / "tum_fr1_xyz"
    if not folder.is_dir():
        pytest.skip(f"no recorded sequence at {folder}")
    return folder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The shipped encoder."""
    import torch

    from ace_slam_ros.core.config.sections import EncoderConfig
    from ace_slam_ros.core.encoders.loading import load_encoder

    return load_encoder(EncoderConfig(), torch.device("cpu"))


@pytest.fixture(scope="session")
def room() -> Path:
    """A rendered walk through a room, as a TUM folder."""
    from helpers.rooms import FRAMES
    from helpers.worlds import world_folder

    return world_folder("room", 5, FRAMES)


@pytest.fixture(scope="session")
def room_frames(room: Path) -> list[Frame]:
    """Its frames."""
    from ace_slam_ros.io.open_source import open_source

    return list(open_source(room))


@pytest.fixture(scope="session")
def mapped(encoder: Encoder, room_frames: list[Frame]) -> tuple[Mapper, list[TrackResult]]:
    """A mapper that has seen the room, for no test to change, and what the tracker said."""
    from helpers.rooms import map_room

    return map_room(encoder, room_frames)
