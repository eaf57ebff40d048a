"""Every package the code imports is declared, for pip and for robots, and the lists agree."""

import ast
import importlib.util
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

# rosdep keys of Python libraries whose import name differs.
ROSDEP_KEYS = {
    "cv2": "python3-opencv",
    "matplotlib": "python3-matplotlib",
    "numba": "python3-numba",
    "numpy": "python3-numpy",
    "rerun": "rerun-sdk",
    "scipy": "python3-scipy",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
# Packages of PyPI whose import name differs.
PYPI_NAMES = {
    "cv2": "opencv-python-headless",
    "rerun": "rerun-sdk",
    "yaml": "PyYAML",
}
# What only ROS brings, or the ROS wheels under other names.
OF_ROS = {
    "ament_index_python", "builtin_interfaces", "cv_bridge", "launch", "launch_ros",
    "message_filters", "rcl_interfaces", "rosgraph_msgs", "sensor_msgs_py", "std_msgs", "tf2_msgs",
    "tf2_ros", "tf_transformations",
}
# What is used where it happens to be: no error says that it is missing.
WHERE_IT_IS = {"bond"}


def lines_of(path: Path) -> list[str]:
    """Return the requirements of a file, without comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def name_of(requirement: str) -> str:
    """Return the package that a requirement names."""
    return re.split(r"[^\w-]", requirement)[0]


def imported_packages(source: str) -> Iterator[str]:
    """Yield top-level names imported anywhere in a file, also through import_module("name").

    What only the type checker imports is not needed to run.
    """
    tree = ast.parse(source)
    unread = {
        id(node) for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for statement in block.body for node in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and not argument.value.startswith("."):
                    yield argument.value.partition(".")[0]


def used_packages(*folders: Path) -> dict[str, str]:
    """Return {package: one file that imports it}, of those that somebody must install."""
    used: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for name in imported_packages(path.read_text()):
                if name not in sys.stdlib_module_names | WHERE_IT_IS | {"ace_slam_ros"}:
                    used.setdefault(name, str(path))
    return used


@pytest.fixture(scope="module")
def manifest(repository):
    return ElementTree.parse(repository / "package.xml").getroot()


@pytest.fixture(scope="module")
def project(repository):
    """The table [project] of pyproject.toml."""
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def robot(repository):
    return lines_of(repository / "requirements" / "robot.txt")


def test_every_import_is_declared_for_robots(repository, manifest, project, robot):
    declared = {
        element.text for tag in ("depend", "exec_depend") for element in manifest.iter(tag)}
    optional = [line for extra in ("view", "realsense", "dinov2", "fast", "pnp", "mesh")
                for line in project["optional-dependencies"][extra]]
    by_pip = {name_of(line) for line in [*robot, *optional]}
    missing = {
        name: path
        for name, path in used_packages(repository / "ace_slam_ros", repository / "launch").items()
        if ROSDEP_KEYS.get(name, name) not in declared | by_pip}
    assert not missing, "declare them in package.xml"


def test_every_import_is_declared_for_pip(repository, project):
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["view"], *extras["realsense"], *extras["dinov2"],
             *extras["fast"], *extras["pnp"], *extras["mesh"], *extras["ros"]]
    declared = {name_of(line) for line in lines}
    declared |= {name.removeprefix("ros-jazzy-").replace("-", "_") for name in declared}
    missing = {
        name: path for name, path in used_packages(repository / "ace_slam_ros").items()
        if PYPI_NAMES.get(name, name) not in declared | OF_ROS}
    assert not missing, "declare them in pyproject.toml"


def test_without_ros_the_basic_dependencies_do(repository, project):
    declared = {name_of(line) for line in project["dependencies"]}
    optional = {"rerun-sdk", "timm", "openvino", "poselib", "pyrealsense2", "open3d"}
    folders = [repository / "ace_slam_ros" / name for name in (
        "apps", "core", "evaluation", "io", "synth", "viewer", "weights_ipc")]
    missing = {
        name: path for name, path in used_packages(*folders).items()
        if PYPI_NAMES.get(name, name) not in declared | optional}
    assert not missing, "declare them in pyproject.toml, outside the extras"


def test_a_robot_is_asked_for_no_more_than_pip(project, robot):
    assert set(robot) <= set(project["dependencies"])


def test_everything_that_setup_installs_is_pinned(repository, project):
    pins = lines_of(repository / "requirements" / "pins.txt")
    assert all(re.match(r"[\w-]+==[\w.]+(; python_version (>=|<) \"3\.\d+\")?$", pin)
               for pin in pins)
    extras = project["optional-dependencies"]
    installed = [*project["dependencies"], *extras["ros"], *extras["interfaces"], *extras["fast"],
                 *extras["pnp"], *extras["dev"], *extras["docs"]]
    assert {name_of(line) for line in installed} <= {name_of(pin) for pin in pins}


def test_doctor_asks_for_no_more_than_pip(project):
    from ace_slam_ros.doctor.machine import LIBRARIES

    asked = {package: least for least, package in LIBRARIES.values()}
    for line in project["dependencies"]:
        least = re.search(r">=([\d.]+)", line)
        if least and name_of(line) in asked:
            assert asked[name_of(line)] <= tuple(map(int, least[1].split("."))), line


def test_python_versions_agree(repository, project):
    listed = [line.rpartition(" ")[2] for line in project["classifiers"]
              if line.startswith("Programming Language :: Python :: 3.")]
    shell = (repository / "scripts" / "setup.sh").read_text()
    tried = re.search(r'^versions="(.*)"$', shell, re.MULTILINE)
    spec = importlib.util.spec_from_file_location(
        "make_environment", repository / "scripts" / "make_environment.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    first, last = (".".join(map(str, v)) for v in (script.FIRST_PYTHON, script.LAST_PYTHON))
    assert sorted(tried[1].split()) == listed
    assert (listed[0], listed[-1]) == (first, last)
    assert project["requires-python"] == f">={first}"
    assert f"Python {first} to {last}" in shell
    assert f"Python {first} to {last}" in (repository / "README.md").read_text()


def test_imports_are_found_in_every_form():
    source = ("import numpy.linalg as la\nfrom nav_msgs.msg import Path\nfrom . import here\n"
              "def f():\n    import rclpy\n    importlib.import_module('cv_bridge.core')\n"
              "if TYPE_CHECKING:\n    from typing_extensions import Self\n")
    assert set(imported_packages(source)) == {"numpy", "nav_msgs", "rclpy", "cv_bridge"}


def test_interfaces_use_declared_packages(repository, manifest):
    declared = {element.text for element in manifest.iter("depend")}
    files = [*repository.glob("msg/*.msg"), *repository.glob("srv/*.srv")]
    fields = "\n".join(path.read_text() for path in files)
    assert set(re.findall(r"^(\w+)/\w+ ", fields, re.MULTILINE)) == declared


def test_versions_agree(repository, manifest, project):
    import ace_slam_ros

    assert project["dynamic"] == ["version"]  # read from the package
    assert project["license"] == manifest.findtext("license")
    assert project["name"] == manifest.findtext("name").replace("_", "-")
    assert manifest.findtext("version") == ace_slam_ros.__version__
    assert f"\n{ace_slam_ros.__version__} (" in (repository / "CHANGELOG.rst").read_text()
