"""Plain `colcon build` of a clean copy gives a package that works from its install space."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.checkout import copy_sources

PREFIX = Path(sys.prefix)
COLCON = PREFIX / "bin" / "colcon"

pytestmark = pytest.mark.skipif(
    not COLCON.exists() or not (PREFIX / "share" / "rosidl_default_generators").is_dir(),
    reason="needs colcon and the ament wheels of `make setup`")

# Runs in a fresh process with the install space sourced and reports where things came from.
INSPECT = """
import importlib, json, pkgutil
from pathlib import Path
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message
import ace_slam_ros.core
from ace_slam_ros.msg import Keyframe, SlamStatus
from ace_slam_ros.srv import LoadMap, Relocalize, SaveMap

status = deserialize_message(serialize_message(SlamStatus(reason="dark", tracked=7)), SlamStatus)
request = Relocalize.Request(min_confidence=0.5)
origins = {"msg": importlib.import_module("ace_slam_ros.msg").__file__}
for module in pkgutil.walk_packages(ace_slam_ros.core.__path__, "ace_slam_ros.core."):
    origins[module.name] = importlib.import_module(module.name).__file__
encoders = Path(ace_slam_ros.core.__file__).parent / "encoders"
share = Path(get_package_share_directory("ace_slam_ros"))
print(json.dumps({
    "status": [status.reason, status.tracked],
    "confidence": deserialize_message(serialize_message(request), Relocalize.Request)
        .min_confidence,
    "origins": origins,
    "prefix": get_package_prefix("ace_slam_ros"),
    "share": sorted(str(path.relative_to(share)) for path in share.glob("*/*")),
    "assets": sorted(path.name for path in encoders.glob("assets/*")),
}))
"""


def clean_environment() -> dict[str, str]:
    """Return an environment in which only the wheels are sourced."""
    names = ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "PYTHONPATH",
             "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return kept | {
        "AMENT_PREFIX_PATH": str(PREFIX), "CMAKE_PREFIX_PATH": str(PREFIX),
        "VIRTUAL_ENV": str(PREFIX), "PATH": f"{PREFIX / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def workspace(repository, tmp_path_factory) -> Path:
    """A workspace with a clean copy; the second build takes compiled interfaces from the first."""
    folder = tmp_path_factory.mktemp("workspace")
    copy_sources(repository, folder / "src" / "ace_slam_ros")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--symlink-install"]], ids=["plain", "symlink"])
def test_colcon_build(repository, workspace, options):
    prefix = "_".join(["install", *options])
    # of the other kind of build, which could not replace it
    shutil.rmtree(workspace / "build" / "ace_slam_ros" / "ament_cmake_python", ignore_errors=True)
    built = subprocess.run(
        [COLCON, "build", "--install-base", prefix, *options], cwd=workspace,
        env=clean_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert built.returncode == 0, built.stdout[-4000:]
    install = workspace / prefix / "ace_slam_ros"

    def sourced(*command: object) -> str:
        done = subprocess.run(
            ["bash", "-c", f'. {prefix}/setup.bash && cd / && "$@"', "bash",
             *map(str, command)],
            cwd=workspace, env=clean_environment(), text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    found = json.loads(sourced(sys.executable, "-c", INSPECT))
    assert found["status"] == ["dark", 7]
    assert found["confidence"] == 0.5
    elsewhere = {
        name: path for name, path in found["origins"].items()
        if not path.startswith(str(install))}
    assert not elsewhere
    assert Path(found["prefix"]) == install
    shipped = [
        f"{folder}/{path.name}" for folder in ("launch", "config")
        for path in (repository / folder).iterdir() if path.is_file()]
    assert "config/slam.yaml" in shipped and set(shipped) <= set(found["share"])
    assert found["assets"] == sorted(
        path.name for path in (repository / "ace_slam_ros" / "core" / "encoders").glob("assets/*"))

    executables = install / "lib" / "ace_slam_ros"
    names = {path.name for path in executables.iterdir()}
    assert {"ace-slam", "tracker_node", "mapper_node", "relocalizer_node"} <= names
    assert "ace-slam" in sourced(executables / "ace-slam", "--version")
    for path in executables.iterdir():
        assert os.access(path, os.X_OK)
        imports = [line for line in path.read_text().splitlines() if line.startswith("from ace_")]
        entry = imports[0].split(" import ")[1].split()[0]
        assert sourced(sys.executable, "-c", f"{imports[0]}\nprint(callable({entry}))") == "True\n"
