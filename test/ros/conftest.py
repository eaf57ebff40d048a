"""A graph for nodes of a test, a small recorded sequence, ROS's libraries and our own code."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from helpers import robot_libraries
from helpers.recordings import CAMERA, frames, truth, write_bag
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from ace_slam_ros.io.tum import write_tum_folder
from ace_slam_ros.ros.messages import compat
from ace_slam_ros.ros.parameters import TELLS_OVERRIDES


@pytest.fixture
def graph():
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)

    def make(name, arguments=None, **overrides):
        node = rclpy.create_node(
            name, namespace="/inputs", context=context, cli_args=arguments, **TELLS_OVERRIDES,
            parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()])
        executor.add_node(node)
        return node

    yield make, executor
    executor.shutdown()
    context.try_shutdown()


@pytest.fixture(params=["robot", "own"])
def libraries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a test twice: over ROS's libraries (or their stand-ins), and over our own code."""
    if request.param == "robot":
        robot_libraries.install(monkeypatch)
    else:
        monkeypatch.setenv(compat.OWN_CODE_VARIABLE, "all")
    for library in compat.LIBRARIES:
        library.forget()
    yield request.param
    for library in compat.LIBRARIES:
        library.forget()


@pytest.fixture(scope="session")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of twenty pairs, one second, compressed."""
    path = tmp_path_factory.mktemp("bags") / "short"
    write_bag(path, frames(), truth(), CAMERA, transport="compressed")
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pairs as a TUM folder."""
    path = tmp_path_factory.mktemp("tum") / "short"
    write_tum_folder(path, frames(), None, CAMERA)
    return path
