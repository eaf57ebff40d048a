"""Families of depth cameras: range and noise of each, and how a driver's names tell them.

The figures and their sources are in docs/cameras.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ConfigError
from .fields import flatten

if TYPE_CHECKING:
    from .sections import SlamConfig

    Config = TypeVar("Config", bound=SlamConfig)

#: Values of `sensor.preset` that name no family: by the driver's names, and as the others say.
AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class Family:
    """Depth cameras that are alike.

    Attributes:
        cameras: their names, for people.
        pattern: regular expression that a name of their drivers matches, in lower case.
        noise_base_m, noise_quadratic: depth noise, see `SensorConfig`.
        min_depth_m, max_depth_m: range within which they measure.
    """

    cameras: str
    pattern: str
    noise_base_m: float
    noise_quadratic: float
    min_depth_m: float
    max_depth_m: float

    @property
    def values(self) -> dict[str, Any]:
        """The parameters by their dotted names."""
        return {f"sensor.{name}": getattr(self, name) for name in (
            "noise_base_m", "noise_quadratic", "min_depth_m", "max_depth_m")}


FAMILIES: Mapping[str, Family] = {
    "d435": Family(
        "RealSense D435, D435i, D415", r"d4[13]5[a-z]*", 0.001, 0.0032, 0.3, 6.0),
    "d455": Family("RealSense D455, D456, D457", r"d45[567][a-z]*", 0.001, 0.0017, 0.4, 6.0),
    "l515": Family("RealSense L515", r"l515", 0.0025, 0.00016, 0.25, 9.0),
    "azure_kinect": Family(
        "Azure Kinect, Orbbec Femto", r"azure|k4a|femto|rgb_camera_link|depth_to_rgb",
        0.002, 0.0005, 0.5, 5.5),
    "oak_d": Family("Luxonis OAK-D", r"oak|oakd|depthai", 0.001, 0.005, 0.35, 6.0),
    "kinect_v1": Family(
        "Kinect for Xbox 360, Asus Xtion", r"kinect|kinect1|openni2?|freenect|xtion|primesense",
        0.001, 0.0025, 0.4, 6.0),
    "d405": Family("RealSense D405", r"d40[15][a-z]*", 0.0002, 0.008, 0.07, 1.0),
}


@dataclass(frozen=True)
class SensorChoice:
    """Which noise and range count, and why.

    Attributes:
        preset: the family, or `NONE`.
        reason: who says so.
        values: what it set.
        kept: what was set to something else already, and stays.
    """

    preset: str
    reason: str
    values: dict[str, Any]
    kept: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return the entry of `summary.json`."""
        return {"preset": self.preset, "reason": self.reason, "values": dict(self.values),
                "kept": dict(self.kept)}

    def __str__(self) -> str:
        if self.preset == NONE:
            return f"noise and range of no camera in particular: {self.reason}"
        kept = "".join(f", {name}={value} kept" for name, value in self.kept.items())
        return f"noise and range of {FAMILIES[self.preset].cameras}: {self.reason}{kept}"


def families_named(names: Iterable[str]) -> dict[str, str]:
    """Return the families that names of topics, frames or drivers tell: family -> first name."""
    found: dict[str, str] = {}
    for name in names:
        for key, family in FAMILIES.items():
            if re.search(rf"(?<![a-z0-9])(?:{family.pattern})(?![a-z0-9])", name.lower()):
                found.setdefault(key, name)
    if "azure_kinect" in found:  # whose names hold the word kinect too
        found.pop("kinect_v1", None)
    return found


def for_camera(config: Config, names: Iterable[str]) -> tuple[Config, SensorChoice]:
    """Return the configuration with noise and range of the camera, and how that was chosen.

    A parameter that differs from its default was set by somebody, who knows better.

    Args:
        config: all parameters; `sensor.preset` names the family or asks for it.
        names: what tells the camera: its driver's name for it, topics, frames.

    Raises:
        ConfigError: the ranges of the family and of the user exclude each other.
    """
    preset, reason = config.sensor.preset, "sensor.preset"
    if preset == AUTO:
        preset, reason = _told(families_named(names))
    if preset == NONE:
        return config, SensorChoice(NONE, reason, {}, {})
    default, now = flatten(type(config)()), flatten(config)
    wanted = FAMILIES[preset].values
    kept = {name: now[name] for name in wanted if now[name] != default[name]}
    values = {name: value for name, value in wanted.items() if name not in kept}
    config = config.with_values(values)
    if config.sensor.min_depth_m >= config.sensor.max_depth_m:
        raise ConfigError(
            f"sensor.min_depth_m={config.sensor.min_depth_m:g} and sensor.max_depth_m="
            f"{config.sensor.max_depth_m:g} of preset {preset} leave no depth: set both")
    return config, SensorChoice(preset, reason, values, kept)


def _told(found: dict[str, str]) -> tuple[str, str]:
    if len(found) == 1:
        (family, name), = found.items()
        return family, f"'{name}' tells it"
    if found:
        said = ", ".join(f"'{name}' a {family}" for family, name in found.items())
        return NONE, f"{said}: name one, --preset or sensor.preset"
    return NONE, f"no name tells the camera; --preset or sensor.preset: {', '.join(FAMILIES)}"
