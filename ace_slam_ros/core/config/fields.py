"""Declaring parameters: one dataclass field holds default, meaning, unit, range and choices."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import field
from typing import Any, ClassVar, get_type_hints

import yaml

from ..errors import ConfigError


def param(
    default: Any, doc: str, unit: str = "", low: float | None = None, high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare one parameter: default, one-sentence meaning, unit, inclusive range, choices."""
    return field(default=default, metadata={
        "doc": doc, "unit": unit, "low": low, "high": high, "choices": choices,
    })


#: Values that were registered beside the declared choices, by the parameter's dotted name.
_registered: dict[str, tuple[str, ...]] = {}


def add_choice(name: str, value: str) -> None:
    """Allow one more value of a parameter with choices: the name of a part somebody registered.

    Args:
        name: dotted name of the parameter.
        value: the value.
    """
    known = _registered.get(name, ())
    if value not in known:
        _registered[name] = (*known, value)


class Checked:
    """Base of the configuration sections: checks types, ranges and choices on construction.

    A section is declared as `class TrackerConfig(Checked, section="tracker")`: the first part of
    its parameters' dotted names. The whole configuration has none.
    """

    _section: ClassVar[str] = ""

    def __init_subclass__(cls, section: str = "", **others: Any) -> None:
        super().__init_subclass__(**others)
        cls._section = section

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            if dataclasses.is_dataclass(hints[item.name]):
                continue
            name = f"{self._section}.{item.name}".lstrip(".")
            value = _coerce(name, getattr(self, item.name), hints[item.name])
            object.__setattr__(self, item.name, value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name}={value} is no finite number")
            low, high = item.metadata.get("low"), item.metadata.get("high")
            if (low is not None and value < low) or (high is not None and value > high):
                raise ConfigError(f"{name}={value} is outside [{low}, {high}]")
            choices = item.metadata.get("choices")
            if choices and value not in (allowed := (*choices, *_registered.get(name, ()))):
                raise ConfigError(f"{name}={value!r}: choose one of {', '.join(allowed)}")


def _coerce(name: str, value: Any, kind: Any) -> Any:
    """Accept what yaml and the command line give for `kind`; refuse everything else."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (bool, int, float, str) and type(value) is kind:
        return value
    raise ConfigError(f"{name}={value!r}: expected {kind.__name__}, got {type(value).__name__}")


def flatten(config: Any) -> dict[str, Any]:
    """Return all parameters as {dotted name: value}, in declaration order."""
    return {name: value for name, _, value in _parameters(config)}


def describe(config: Any) -> dict[str, dict[str, Any]]:
    """Return {dotted name: metadata} with doc, unit, low, high and choices."""
    return {name: dict(item.metadata) for name, item, _ in _parameters(config)}


def _parameters(config: Any) -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Yield (dotted name, field, value) of each parameter, in declaration order."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            for sub in dataclasses.fields(value):
                yield f"{item.name}.{sub.name}", sub, getattr(value, sub.name)
        else:
            yield item.name, item, value


def dump_yaml(config: Any) -> str:
    """Render the configuration as a ROS parameter file with every parameter explained."""
    notes = describe(config)
    lines = ["/**:", "  ros__parameters:"]
    section = ""
    for name, value in flatten(config).items():
        head, _, leaf = name.rpartition(".")
        if head != section:
            section = head
            lines.append(f"    {head}:")
        indent = "      " if head else "    "
        note = notes[name]
        unit = f" [{note['unit']}]" if note["unit"] else ""
        choices = f" ({', '.join(note['choices'])})" if note["choices"] else ""
        span = ""
        if note["low"] is not None or note["high"] is not None:
            span = f" in {note['low']}..{note['high'] if note['high'] is not None else ''}"
        lines.append(f"{indent}# {note['doc']}{unit}{choices}{span}")
        text = yaml.safe_dump(value, default_flow_style=True).replace("\n...", "").strip()
        lines.append(f"{indent}{leaf}: {text}")
    return "\n".join(lines) + "\n"
