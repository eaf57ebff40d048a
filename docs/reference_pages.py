"""A hook of mkdocs: the API reference, one page a package, and CONTRIBUTING.md as a page."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ace_slam_ros"
#: Not for use by others: commands, and what only they need.
LEFT_OUT = {"demo", "doctor"}


def packages() -> dict[str, list[str]]:
    """Return the public modules of every package, by dotted names."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] in LEFT_OUT or len(parts) < 3 or parts[-1].startswith("_"):
            continue
        found.setdefault(".".join(parts[:-1]), []).append(".".join(parts))
    return dict(sorted(found.items()))


def page(package: str, modules: list[str]) -> str:
    """Return the text of a package's page."""
    lines = [f"# `{package}`", ""]
    init = ROOT.joinpath(*package.split(".")) / "__init__.py"
    tree = ast.parse(init.read_text())
    lines += [ast.get_docstring(tree) or "", ""]
    for name, module in exported(tree).items():
        lines.append(f"* [`{name}`][{package}.{module}.{name}]")
    lines.append("")
    return "\n".join([*lines, *(f"::: {module}\n" for module in modules)])


def exported(tree: ast.Module) -> dict[str, str]:
    """Return the names that the core's `__init__` imports on demand, and from where."""
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body
                if isinstance(node, ast.Assign)}
    return ast.literal_eval(assigned["_PLACES"]) if "_PLACES" in assigned else {}


def on_config(config: Any) -> Any:
    """Add the pages to the navigation."""
    config.nav.append({"Contributing": "contributing.md"})
    config.nav.append({"Reference": [
        {package.partition(".")[2]: f"reference/{package}.md"} for package in packages()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages to the site, and what lies at the root of the repository."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text().replace("](docs/", "](")
    files.append(File.generated(config, "contributing.md", content=contributing))
    for package, modules in packages().items():
        files.append(File.generated(
            config, f"reference/{package}.md", content=page(package, modules)))
    return files
