"""One configuration per use: which parameters differ from the defaults, and why.

`config/NAME.yaml` is the output of `ace-slam dump-config --preset NAME`; nothing is typed by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..core.config.cameras import FAMILIES
from ..core.config.fields import dump_yaml
from ..core.errors import ConfigError
from .config import NodeConfig


@dataclass(frozen=True)
class Preset:
    """A use of the system: one line about it, and its values by dotted name."""

    purpose: str
    values: dict[str, Any] = field(default_factory=dict)

    def config(self) -> NodeConfig:
        """Return the whole configuration."""
        return NodeConfig().with_values(self.values)


PRESETS = {
    "slam": Preset("mapping with any registered RGB-D camera: the defaults"),
    "localization": Preset(
        "localization in a saved map (ros.map_dir) that is never changed",
        {"mode": "localization"}),
    "realsense": Preset(
        "a RealSense D435 in the hand or on a mast: its own frames, its noise and range",
        {
            "sensor.preset": "d435",
            # realsense2_camera publishes camera_link -> ..._optical_frame; nobody drives here.
            "ros.base_frame": "camera_link",
            "ros.odom_frame": "",
        }),
    "ace_slam_paper": Preset(
        "comparison with the paper (ACE-SLAM, arXiv 2512.14032): its system, with our encoder",
        {
            # Dense features (the default), a network that votes on three planes, and every frame
            # relocalized without a prior; nothing refines the pose, and late frames are skipped
            # (--realtime does that).
            "head.type": "trimlp",
            "tracker.refine": False,
            "tracker.frame_budget_ms": 0.0,
            "mapper.pose_graph": False,
            # The paper does not say how many hypotheses are tried: a generous number.
            "solver.hypotheses": 256,
        }),
}


def find_preset(name: str) -> Preset:
    """Return a preset: of a use, or the defaults with the noise of a family of cameras.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in FAMILIES:
        return Preset(f"mapping with {FAMILIES[name].cameras}", {"sensor.preset": name})
    if name not in PRESETS:
        raise ConfigError(
            f"preset '{name}': choose one of {', '.join(PRESETS)}, of cameras "
            f"{', '.join(FAMILIES)}")
    return PRESETS[name]


def preset_yaml(name: str) -> str:
    """Return the text of `config/NAME.yaml`: what differs, then every parameter explained."""
    preset = find_preset(name)
    text = dump_yaml(preset.config())
    if not preset.values:
        return text
    lines = [f"# For {preset.purpose}.", "# Other than the defaults of slam.yaml:"]
    lines += [f"#   {key}: {value!r}" for key, value in preset.values.items()]
    return "\n".join([*lines, text])
