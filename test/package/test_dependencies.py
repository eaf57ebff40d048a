"""Every package the code imports is declared for robots: in package.xml or in robot.txt."""

import ast
import configparser
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

# rosdep keys of Python libraries whose import name differs.
ROSDEP_KEYS = {
    "cv2": "python3-opencv",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "rerun": "rerun-sdk",
    "scipy": "python3-scipy",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}


def imported_packages(source: str) -> Iterator[str]:
    """Yield top-level names imported anywhere in a file, also through import_module("name")."""
    for node in ast.walk(ast.parse(source)):
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
    """Return {package: one file that imports it}, without the standard library and our own."""
    used: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for name in imported_packages(path.read_text()):
                if name not in sys.stdlib_module_names and name != "ace_slam_ros":
                    used.setdefault(name, str(path))
    return used


@pytest.fixture(scope="module")
def manifest(repository):
    return ElementTree.parse(repository / "package.xml").getroot()


def test_every_import_is_declared(repository, manifest):
    declared = {
        element.text for tag in ("depend", "exec_depend") for element in manifest.iter(tag)}
    by_pip = {
        re.split(r"[^\w-]", line)[0]
        for line in (repository / "requirements" / "robot.txt").read_text().splitlines()
        if line and not line.startswith("#")}
    setup = configparser.ConfigParser()
    setup.read(repository / "setup.cfg")
    optional = {re.split(r"[^\w-]", line)[0]
                for lines in setup["options.extras_require"].values()
                for line in lines.split()}
    missing = {
        name: path
        for name, path in used_packages(repository / "ace_slam_ros", repository / "launch").items()
        if ROSDEP_KEYS.get(name, name) not in declared | by_pip | optional}
    assert not missing, "declare them in package.xml"


def test_imports_are_found_in_every_form():
    source = ("import numpy.linalg as la\nfrom nav_msgs.msg import Path\nfrom . import here\n"
              "def f():\n    import rclpy\n    importlib.import_module('cv_bridge.core')\n")
    assert set(imported_packages(source)) == {"numpy", "nav_msgs", "rclpy", "cv_bridge"}


def test_interfaces_use_declared_packages(repository, manifest):
    declared = {element.text for element in manifest.iter("depend")}
    files = [*repository.glob("msg/*.msg"), *repository.glob("srv/*.srv")]
    fields = "\n".join(path.read_text() for path in files)
    assert set(re.findall(r"^(\w+)/\w+ ", fields, re.MULTILINE)) == declared


def test_versions_agree(repository, manifest):
    import ace_slam_ros

    assert manifest.findtext("version") == ace_slam_ros.__version__
    assert f"\n{ace_slam_ros.__version__} (" in (repository / "CHANGELOG.rst").read_text()
