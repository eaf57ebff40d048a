"""Rendered worlds, each drawn once per version of the code and kept in the checkout's .cache."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.synth.sequence import write_sequence
from ace_slam_ros.synth.worlds import CAMERA, SynthFrame, World, make_world
from helpers.paths import ROOT

#: What decides how a world looks, and how its frames are written.
SOURCES = ("synth", "io", "core/geometry", "core/data")


class Shot(NamedTuple):
    """A frame of a world and where it was taken."""

    frame: Frame
    T_world_cam_44: np.ndarray


def world_folder(name: str, seed: int, frames: int) -> Path:
    """The first frames of a world as a folder in TUM layout, for no test to change."""
    return _kept(f"{name}-{seed}-{frames}frames",
                 lambda folder: write_sequence(folder, name, seed, frames))


def world_shots(name: str, seed: int, numbers: Iterable[int]) -> list[Shot]:
    """Frames of a world by number, exactly as it renders them."""
    numbers = list(numbers)
    digest = hashlib.sha256(json.dumps(numbers).encode()).hexdigest()[:8]

    def render(folder: Path) -> None:
        world, depth, poses, stamps = make_world(name, seed), [], [], []
        folder.mkdir()
        for k, item in enumerate(_rendered(world, numbers)):
            bgr = cv2.cvtColor(item.frame.image, cv2.COLOR_RGB2BGR)
            assert cv2.imwrite(str(folder / f"{k}.png"), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            depth.append(item.frame.depth_m)
            poses.append(item.T_world_cam_44)
            stamps.append(item.frame.stamp_ns)
        np.savez_compressed(folder / "exact.npz", depth=depth, poses=poses, stamps=stamps)

    folder = _kept(f"{name}-{seed}-{len(numbers)}shots-{digest}", render)
    with np.load(folder / "exact.npz") as exact:
        depth, poses, stamps = exact["depth"], exact["poses"], exact["stamps"]
    images = [cv2.imread(str(folder / f"{k}.png"))[..., ::-1] for k in range(len(numbers))]
    return [Shot(Frame(int(stamp), np.ascontiguousarray(image), depth_m, CAMERA), T)
            for stamp, image, depth_m, T in zip(stamps, images, depth, poses, strict=True)]


def _rendered(world: World, numbers: list[int]) -> Iterator[SynthFrame]:
    steps = {b - a for a, b in pairwise(numbers)}
    if len(steps) == 1 and min(steps) > 0:
        yield from world.frames(numbers[-1] + 1, numbers[0], *steps)
    else:
        for number in numbers:
            yield next(world.frames(number + 1, number))


def _kept(name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder of a name; it appears when complete, whoever makes it at the same time."""
    kept = _cache() / name
    if not kept.is_dir():
        with (_cache() / "lock").open("w") as lock:  # one renders, the other waits and finds it
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.is_dir():
                with tempfile.TemporaryDirectory(dir=_cache()) as unfinished:
                    make(Path(unfinished) / name)
                    (Path(unfinished) / name).rename(kept)
    return kept


def _cache() -> Path:
    """The folder for worlds of the code as it is; those of other versions go."""
    writable = os.access(ROOT, os.W_OK)
    worlds = (ROOT / ".cache" if writable else Path(tempfile.gettempdir())) / "test-worlds"
    cache = worlds / _code_hash()
    if not cache.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        for old in worlds.iterdir():
            if old != cache:
                shutil.rmtree(old, ignore_errors=True)
    return cache


def _code_hash() -> str:
    digest = hashlib.sha256(f"{np.__version__} {cv2.__version__}".encode())
    package = ROOT / "ace_slam_ros"
    for path in [*sorted(p for s in SOURCES for p in (package / s).rglob("*.py")),
                 Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
