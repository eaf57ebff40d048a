"""`pip install .` in another environment gives a command that works without this checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from helpers.checkout import copy_sources

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not run from .venv")]

# Reports where things of the installed package come from.
INSPECT = """
import json
from pathlib import Path
import ace_slam_ros.core
from ace_slam_ros.ros.process.environment import find_config
names = {names!r}
encoders = Path(ace_slam_ros.core.__file__).parent / "encoders"
print(json.dumps({{
    "package": ace_slam_ros.__file__,
    "config": {{name: str(find_config(name)) for name in names}},
    "assets": sorted(path.name for path in encoders.glob("assets/*")),
}}))
"""


def call(*command: object, folder: Path) -> str:
    """Run a command in a folder that has nothing to do with the project; return its output."""
    foreign = ("PYTHONPATH", "AMENT_PREFIX_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
    env = {name: value for name, value in os.environ.items() if name not in foreign}
    done = subprocess.run(  # without machine code: six frames are not worth half a minute of it
        [str(word) for word in command], cwd=folder, text=True, capture_output=True, check=False,
        env=env | {"NUMBA_DISABLE_JIT": "1"})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    """The wheel of a clean copy, built with what is here: without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    copy_sources(repository, folder / "source")
    call(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation",
         "--wheel-dir", folder, folder / "source", folder=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel that has the libraries of this one, and not this checkout."""
    prefix = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", prefix, folder=prefix)
    python = prefix / "bin" / "python"
    purelib = json.loads(call(
        python, "-c", "import json, sysconfig; print(json.dumps(sysconfig.get_path('purelib')))",
        folder=prefix))
    # A folder named in a .pth file is searched, but the .pth files in it are not read.
    (Path(purelib) / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    call(python, "-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed", wheel,
         folder=prefix)
    return prefix


def test_wheel_holds_all_that_is_needed(repository, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entries = next(name for name in names if name.endswith("entry_points.txt"))
        assert "ace-slam = ace_slam_ros.cli:main" in archive.read(entries).decode()
    package = repository / "ace_slam_ros"
    modules = {str(path.relative_to(repository)) for path in package.rglob("*.py")}
    assets = {str(path.relative_to(repository)) for path in package.rglob("assets/*")}
    assert len(assets) > 1 and modules | assets <= names
    shared = {f"{folder}/{path.name}" for folder in ("config", "launch")
              for path in (repository / folder).iterdir() if path.is_file()}
    assert "config/fastdds.xml" in shared and "launch/slam.launch.py" in shared
    assert shared <= {name.partition("/data/share/ace_slam_ros/")[2] for name in names}
    assert not [name for name in names if name.startswith(("test", "training", "benchmarks"))]


def test_installed_package_finds_its_files(repository, installed):
    names = sorted(path.name for path in (repository / "config").iterdir())
    found = json.loads(call(
        installed / "bin" / "python", "-c", INSPECT.format(names=names), folder=installed))
    assert found["package"].startswith(str(installed))
    assert found["config"] == {
        name: str(installed / "share" / "ace_slam_ros" / "config" / name) for name in names}
    assert found["assets"] == sorted(
        path.name for path in repository.glob("ace_slam_ros/core/encoders/assets/*"))


@pytest.mark.render
def test_installed_command_maps_a_sequence(installed, tmp_path):
    command = installed / "bin" / "ace-slam"
    call(command, "synth", "room", "--world", "room", "--frames", "6", folder=tmp_path)
    call(command, "run", "room", "--every-frame", "--out", "run", folder=tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["frames"] == summary["tracked"] == 6
