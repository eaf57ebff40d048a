"""SLAM without ROS: the public interface.

    from ace_slam_ros.core import Slam, SlamConfig

Names are imported when they are first used, so that a part that needs no torch loads none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config.sections import SlamConfig
    from .data.camera import Camera
    from .data.frame import Frame
    from .data.keyframe import Keyframe
    from .encoders.loading import load_encoder
    from .errors import AceSlamError
    from .localization.relocalizer import Relocalizer
    from .mapping.mapper import Mapper
    from .maps.map_folder import load_map
    from .slam import Slam
    from .tracking.result import TrackerState, TrackingHints, TrackResult
    from .tracking.tracker import Tracker

__all__ = [
    "AceSlamError", "Camera", "Frame", "Keyframe", "Mapper", "Relocalizer", "Slam", "SlamConfig",
    "TrackResult", "Tracker", "TrackerState", "TrackingHints", "load_encoder", "load_map",
]

_PLACES = {
    "AceSlamError": "errors", "Camera": "data.camera", "Frame": "data.frame",
    "Keyframe": "data.keyframe", "Mapper": "mapping.mapper",
    "Relocalizer": "localization.relocalizer", "Slam": "slam", "SlamConfig": "config.sections",
    "TrackResult": "tracking.result", "Tracker": "tracking.tracker",
    "TrackerState": "tracking.result", "TrackingHints": "tracking.result",
    "load_encoder": "encoders.loading", "load_map": "maps.map_folder",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
