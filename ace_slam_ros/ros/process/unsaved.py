"""Says that a run which was to save its map ends without one."""

from __future__ import annotations

from typing import Any

import rclpy


def lost_while_loading(save_on_exit: bool, mode: str, map_dir: str) -> str:
    """What to say of a mapper that is stopped before it is ready; empty = nothing is lost."""
    if not (save_on_exit and map_dir) or mode == "localization":
        return ""
    return (f"stopped while it was still loading: nothing was mapped and nothing is saved to "
            f"{map_dir} (ros.save_on_exit); wait until the mapper is active before you stop")


def lost_by_early_stop(name: str) -> str:
    """The same for a process that has not made its node yet; needs rclpy, and some milliseconds.

    Args:
        name: of the node; only the mapper saves.
    """
    if name != "mapper":
        return ""
    node = rclpy.create_node(
        name, enable_rosout=False, start_parameter_services=False,
        automatically_declare_parameters_from_overrides=True)
    try:
        def value(key: str, default: Any) -> Any:
            return node.get_parameter(key).value if node.has_parameter(key) else default

        return lost_while_loading(
            bool(value("ros.save_on_exit", False)), str(value("mode", "")),
            str(value("ros.map_dir", "")))
    finally:
        node.destroy_node()
