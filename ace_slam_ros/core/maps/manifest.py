"""The manifest of a map folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AceSlamError, MapError
from .keyframe_codec import camera_from_tree

if TYPE_CHECKING:
    from ..data.camera import Camera
    from ..geometry.arrays import Float64Array

FORMAT_VERSION = "2.1"
#: Major versions that can be read; `upgrade.py` brings older ones up to date.
_READABLE = ("1", "2")
#: Key of the checksum of everything else in the manifest; maps of 2.0 have none.
_CHECKSUM = "manifest_sha256"
MANIFEST, HEAD, KEYFRAMES = "manifest.json", "head.safetensors", "keyframes.safetensors"
#: Name of the occupancy grid's files, which are made of the keyframes.
GRID = "grid"


@dataclass(frozen=True)
class MapManifest:
    """What `manifest.json` says about a map.

    Attributes:
        map_id: unique name of the map.
        encoder_name, encoder_hash: the encoder whose features the head understands.
        head_type: kind of scene head.
        camera: intrinsics of the mapping camera.
        frame_id: ROS frame of the map.
        bounds_m: smallest and largest corner (x, y, z) of the mapped points, meters.
        software_version: version that wrote the map.
        T_groundtruth_map: (4, 4) pose of the map in a ground-truth frame, for evaluation; None
            when there is none.
        created: time of saving, ISO 8601 UTC; `save_map` fills it when empty.
        keyframes, map_bytes, keyframe_bytes, sha256: number of keyframes, sizes of the two data
            files and the hash of each file by name; `save_map` fills them.
        derived: hash of each file that was made of the others, by name; what somebody has changed
            since is theirs. `save_map` fills it.
        format_version: `major.minor` of the files as they were read, or are to be written.
    """

    map_id: str
    encoder_name: str
    encoder_hash: str
    head_type: str
    camera: Camera
    frame_id: str
    bounds_m: tuple[tuple[float, float, float], tuple[float, float, float]]
    software_version: str
    T_groundtruth_map: Float64Array | None = field(default=None, compare=False)
    created: str = ""
    keyframes: int = 0
    map_bytes: int = 0
    keyframe_bytes: int = 0
    sha256: dict[str, str] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    format_version: str = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not np.isfinite(self.bounds_m).all() or np.shape(self.bounds_m) != (2, 3):
            raise MapError(f"map bounds {self.bounds_m} are not two finite corners: map some "
                           "frames with depth before saving")

    def to_json(self) -> str:
        """Serialize to indented JSON."""
        tree = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        tree["camera"] = dataclasses.asdict(self.camera)
        if self.T_groundtruth_map is not None:
            tree["T_groundtruth_map"] = np.asarray(self.T_groundtruth_map).tolist()
        tree = json.loads(json.dumps(tree, allow_nan=False))  # as a reader will find it
        return json.dumps({**tree, _CHECKSUM: _checksum(tree)}, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> MapManifest:
        """Parse; keys that a later minor version added are ignored.

        Raises:
            MapError: not a manifest, an unknown major version, or a key is missing or wrong.
        """
        try:
            tree = json.loads(text)
            version = str(tree["format_version"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MapError(
                f"{MANIFEST} is damaged ({error}): restore the folder or map again") from error
        if version.partition(".")[0] not in _READABLE:
            raise MapError(
                f"the map has format version {version}, this program reads {FORMAT_VERSION}: "
                f"use ace_slam_ros {tree.get('software_version', 'of that format')}, or map again")
        try:
            is_altered = _CHECKSUM in tree and tree[_CHECKSUM] != _checksum(tree)
            manifest = _manifest_from_tree(tree)
        except (AceSlamError, AttributeError, KeyError, OverflowError, RecursionError, TypeError,
                ValueError) as error:
            raise MapError(f"{MANIFEST} is damaged ({type(error).__name__}: {error}): restore "
                           "the folder or map again") from error
        if is_altered:
            raise MapError(
                f"{MANIFEST} does not have the checksum it names: it was altered; restore the "
                f"folder, or remove its line {_CHECKSUM} if you changed it on purpose")
        return manifest


def _checksum(tree: dict[str, Any]) -> str:
    """SHA-256 of what a manifest says, whatever the layout of its text."""
    said = {key: value for key, value in tree.items() if key != _CHECKSUM}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _manifest_from_tree(tree: dict[str, Any]) -> MapManifest:
    known = {f.name for f in dataclasses.fields(MapManifest)}
    values = {key: value for key, value in tree.items() if key in known}
    values["camera"] = camera_from_tree(tree["camera"])
    values["sha256"] = {str(k): str(v) for k, v in tree["sha256"].items()}
    values["derived"] = {str(k): str(v) for k, v in tree.get("derived", {}).items()}
    for name in ("keyframes", "map_bytes", "keyframe_bytes"):
        values[name] = int(tree[name])
    low, high = tree["bounds_m"]
    values["bounds_m"] = (_corner(low), _corner(high))
    if tree.get("T_groundtruth_map") is not None:
        values["T_groundtruth_map"] = np.array(tree["T_groundtruth_map"], float).reshape(4, 4)
    return MapManifest(**values)


def _corner(values: list[float]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
