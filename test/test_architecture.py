"""The layers of the package, sizes of its files and folders, read from the source with ast."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from helpers.paths import ROOT

PACKAGE = ROOT / "ace_slam_ros"
NAME = PACKAGE.name
#: What the core does not know, neither at once nor inside of a function.
ABOVE_THE_CORE = {"io", "synth", "evaluation", "viewer", "doctor", "demo", "apps", "weights_ipc",
                  "ros", "cli", "launch_files", "msg", "srv"}
#: The only rooms that may know ROS.
ROS_ROOMS = {"ros", "demo", "doctor"}
CORE_LEVELS, FILE_LINES, FOLDER_FILES, FUNCTION_LINES = 10, 400, 14, 60
#: Functions that may be longer, with the lines they have; none is.
LONGER: dict[str, int] = {}


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax of every module by its dotted name; a package by the name of its folder."""
    return {name: ast.parse(path.read_text(), str(path)) for name, path in modules().items()}


@cache
def modules() -> dict[str, Path]:
    def dotted(path: Path) -> str:
        parts = path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    return {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST, module: str, is_package: bool, lazy: bool) -> Iterator[str]:
    """Dotted names a module imports; with `lazy`, also those inside of functions.

    What only a type checker reads is no import.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = module.split(".")
                up = up[:len(up) - node.level + is_package]
                base = ".".join([*up, base] if base else up)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules() else base
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from imports(ast.Module([other], []), module, is_package, lazy)
        elif lazy or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from imports(node, module, is_package, lazy)


@cache
def imported(lazy: bool) -> dict[str, frozenset[str]]:
    """What every module imports."""
    return {name: frozenset(imports(
        tree, name, modules()[name].name == "__init__.py", lazy)) - {name}
        for name, tree in trees().items()}


@cache
def graph(lazy: bool) -> dict[str, frozenset[str]]:
    """The modules of the package that every module of the package imports."""
    return {name: frozenset(found & trees().keys()) for name, found in imported(lazy).items()}


def room(module: str) -> str:
    """The folder or file right below the package."""
    return (module.split(".") + [""])[1]


def told(complaint: str, lines: Iterable[str]) -> None:
    """Fail with a list, one violation a line."""
    found = sorted(lines)
    assert not found, f"{complaint}:\n  " + "\n  ".join(found)


def circles(edges: dict[str, frozenset[str]]) -> list[list[str]]:
    """Sets of modules that import each other in a circle (Tarjan), each sorted."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in numbers:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], numbers[other])
        if lowest[name] == numbers[name]:
            at = stack.index(name)
            members = stack[at:]
            del stack[at:]
            if len(members) > 1:
                found.append(sorted(members))

    for name in sorted(edges):
        if name not in numbers:
            visit(name)
    return found


def longest_chain(edges: dict[str, frozenset[str]]) -> list[str]:
    """The longest chain of modules that each import the next one; there must be no circle."""

    @cache
    def below(name: str) -> tuple[str, ...]:
        chains = (below(other) for other in sorted(edges[name]))
        return name, *max(chains, key=lambda chain: len(chain), default=())

    return list(max((below(name) for name in sorted(edges)), key=len))


def functions() -> Iterator[tuple[str, int]]:
    """Name and lines of every function and method; the longest of a module's equal names last."""
    return iter(sorted(
        ((f"{module}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
         for module, tree in trees().items() for node in ast.walk(tree)
         if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))), key=lambda f: f[1]))


def test_the_core_knows_nothing_above_it() -> None:
    told("the core must not import what is built on it, not even inside of a function; hand it "
         "in as an argument, or move it into the core", (
             f"{name} imports {other}" for name, found in imported(True).items()
             if room(name) == "core" for other in found
             if other.split(".")[0] == "rclpy"
             or (other.split(".")[0] == NAME and room(other) in ABOVE_THE_CORE)))


def test_only_the_rooms_of_ros_know_ros() -> None:
    told(f"only {', '.join(sorted(ROS_ROOMS))} may import rclpy", (
        f"{name} imports {other}" for name, found in imported(True).items()
        if room(name) not in ROS_ROOMS for other in found if other.split(".")[0] == "rclpy"))


@pytest.mark.parametrize("lazy", [False, True], ids=["of_modules", "of_functions_too"])
def test_no_modules_import_each_other(lazy: bool) -> None:
    told("modules import each other in a circle; move what both need into a third one", (
        " <-> ".join(circle) for circle in circles(graph(lazy))))


def test_the_core_has_few_levels() -> None:
    core = {name: frozenset(o for o in found if room(o) == "core")
            for name, found in graph(False).items() if room(name) == "core"}
    assert not circles(core)
    chain = longest_chain(core)
    assert len(chain) <= CORE_LEVELS, (
        f"{len(chain)} levels of imports in the core, at most {CORE_LEVELS} are wanted:\n  "
        + "\n  ".join(chain))


def test_files_are_short() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in modules().values()}
    told(f"files of more than {FILE_LINES} lines", (
        f"{path.relative_to(ROOT)}: {n}" for path, n in lines.items() if n > FILE_LINES))


def test_folders_are_small() -> None:
    folders = {path.parent for path in modules().values()}
    counts = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    told(f"folders of more than {FOLDER_FILES} Python files", (
        f"{folder.relative_to(ROOT)}: {n}" for folder, n in counts.items() if n > FOLDER_FILES))


def test_functions_are_short() -> None:
    lengths = dict(functions())
    told(f"functions of more than {FUNCTION_LINES} lines, with docstring; make parts of them", (
        f"{name}: {lines}" for name, lines in lengths.items()
        if lines > LONGER.get(name, FUNCTION_LINES)))


def test_circles_and_chains_are_found() -> None:
    edges = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset("d"), "d": frozenset()}
    assert longest_chain(edges) == ["a", "b", "c", "d"] and circles(edges) == []
    assert circles(edges | {"d": frozenset("b")}) == [["b", "c", "d"]]


def test_every_form_of_import_is_seen() -> None:
    source = '''
from __future__ import annotations
from . import device
from ..geometry.se3 import exp_se3
import rclpy.node
if TYPE_CHECKING:
    from ..io import tum
def later():
    from ...synth.worlds import make_world
'''
    at_once = {"__future__", f"{NAME}.core.runtime.device", f"{NAME}.core.geometry.se3",
               "rclpy.node"}
    find = [set(imports(ast.parse(source), f"{NAME}.core.runtime.priority", False, lazy))
            for lazy in (False, True)]
    assert find == [at_once, at_once | {f"{NAME}.synth.worlds"}]
