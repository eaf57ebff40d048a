"""Small maps to save and load, numbered so that a torn one is told."""

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as save_tensors

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.maps.manifest import MapManifest
from ace_slam_ros.core.maps.map_folder import save_map

CAMERA = Camera(640, 480, 525.0, 526.5, 319.5, 239.25, (0.1, -0.2, 0.0, 0.0, 0.03))
HASH = "ab" * 32
MANIFEST = MapManifest(
    "map-1", "tiny", HASH, "affine", CAMERA, "map", ((-1.0, -2.0, 0.0), (1.5, 2.0, 3.0)), "0.1.0")
HEAD = save_tensors({"weights": np.arange(1000, dtype=np.float16)})


def keyframe(index: int, features: int, camera: Camera = CAMERA, dimension: int = 16) -> Keyframe:
    rng = np.random.default_rng(index)
    return Keyframe(
        index, 1_700_000_000_000_000_000 + index, exp_se3(rng.normal(size=6)),
        rng.integers(-127, 128, (features, dimension), dtype=np.int8),
        rng.normal(size=(features, 2)).astype(np.float32),
        rng.normal(size=(features, 3)).astype(np.float32), camera)


def numbered(count: int) -> MapManifest:
    return dataclasses.replace(MANIFEST, map_id=str(count))


def numbered_head(count: int) -> bytes:
    return save_tensors({"weights": np.full(100_000, count, np.int32)})


def edit_manifest(folder: Path, **values: Any) -> None:
    """Change the manifest to one without a checksum, as earlier versions wrote it."""
    tree = json.loads((folder / "manifest.json").read_text())
    tree.pop("manifest_sha256", None)
    (folder / "manifest.json").write_text(json.dumps({**tree, **values}))


def save_forever() -> None:
    """Save one map after the other into the folder in argv, until killed; print their numbers."""
    keyframes = [keyframe(i, 400) for i in range(10)]
    for count in itertools.count(int(sys.argv[2]) + 1):
        save_map(Path(sys.argv[1]), numbered(count), numbered_head(count), keyframes)
        print(count, flush=True)


#: What a process of its own runs.
SAVE_FOREVER = "from helpers.saved_maps import save_forever; save_forever()"
