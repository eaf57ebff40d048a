"""Worlds that the tests of rendering share."""

import pytest
from helpers.scenes import SEED, unlit

from ace_slam_ros.synth import World, make_world
from ace_slam_ros.synth.rendering.render import Facets


@pytest.fixture(scope="session")
def room() -> World:
    return make_world("room", SEED)


@pytest.fixture(scope="session")
def corridor() -> World:
    return make_world("corridor", SEED)


@pytest.fixture(scope="session")
def room_geometry(room: World) -> Facets:
    return unlit(room)
