"""The page `docs/parameters.md`: every parameter with default, range and meaning.

It is the output of `ace-slam dump-config --markdown`; nothing in it is typed by hand.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from ..core.config.sections import RENAMED
from .config import NodeConfig

_INTRODUCTION = """\
# Parameters

This page is the output of `ace-slam dump-config --markdown`.

The names are those of a parameter file (`--config`, `params_file`), of `--set NAME=VALUE` and of
the ROS parameters, which are fixed while a node runs. A name that does not exist is refused, and
so is a value of another type or out of its range. The folder `config/` holds one file per use;
`ace-slam dump-config --preset NAME` prints it.
"""
_HEAD = ("| parameter | default | range | meaning |", "|---|---|---|---|")


def parameter_table() -> str:
    """Return the page as markdown: one table a section, in the order of declaration."""
    config = NodeConfig()
    single, sections = [], []
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            sections.append((item.name, value))
        else:
            single.append(_row(item.name, item, value))
    lines = [_INTRODUCTION, "## Without a section", "", *_HEAD, *single]
    for name, section in sections:
        meaning = (type(section).__doc__ or "").split("\n")[0]
        lines += ["", f"## {name}", "", meaning, "", *_HEAD]
        lines += [_row(f"{name}.{item.name}", item, getattr(section, item.name))
                  for item in dataclasses.fields(section)]
    lines += ["", "## Renamed", "", "These names of earlier versions go on working; their use is "
              "logged.", "", "| earlier | now |", "|---|---|"]
    lines += [f"| `{old}` | `{new}` |" for old, new in RENAMED.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, item: dataclasses.Field[Any], value: Any) -> str:
    note = item.metadata
    unit = f" {note['unit']}" if note["unit"] else ""
    default = yaml.safe_dump(value, default_flow_style=True).replace("\n...", "").strip()
    meaning = note["doc"].replace("|", "\\|")
    return f"| `{name}` | `{default}`{unit} | {_span(note)} | {meaning} |"


def _span(note: Any) -> str:
    """Return the values allowed, empty where all of the type are."""
    if note["choices"]:
        return ", ".join(f"`{choice}`" for choice in note["choices"])
    low, high = note["low"], note["high"]
    if low is None and high is None:
        return ""
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
