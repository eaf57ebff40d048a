"""The demonstration's bag: a synthetic room, rendered once and kept in a cache folder."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from .. import synth
from ..io.bags.writer import BagWriter
from ..io.depth import depth_to_stored
from ..io.images import encode_jpeg
from ..synth.worlds import World, make_world

WORLD, SEED, FRAMES = "room", 0, 600
_PROCESSES = 2
_CHUNK = 20
_JPEG_QUALITY = 88
_COLOR_FORMAT = "rgb8; jpeg compressed bgr8"
_MILLIMETERS = 1000.0

#: (stamp ns, JPEG, depth (H, W) millimeters) as a worker hands a frame over.
Rendered = tuple[int, bytes, npt.NDArray[np.uint16]]


def cache_folder() -> Path:
    """Return where rendered bags are kept: `.cache` of a source tree, else the user's cache."""
    root = Path(__file__).resolve().parents[2]
    if (root / "setup.py").is_file() and os.access(root, os.W_OK):
        return root / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ace_slam_ros"


def room_bag(folder: Path, frames: int = FRAMES) -> Path:
    """Return the bag of the synthetic room; renders it on first use, with a progress bar.

    The name holds a hash of the renderer's code, so a changed world is rendered anew.

    Args:
        folder: where bags are kept.
        frames: length of the sequence at 30 frames per second.

    Raises:
        DataError: the folder cannot be written.
    """
    stem = f"{WORLD}-seed{SEED}-{frames}frames"
    bag = folder / f"{stem}-{_code_hash()}"
    if bag.is_dir():
        return bag
    for old in folder.glob(f"{stem}-*"):
        shutil.rmtree(old, ignore_errors=True)
    world = _world()
    truth = world.trajectory(frames)
    with BagWriter(bag, world.camera, truth, transport="compressed") as writer:
        bar = tqdm(
            _rendered(frames), total=frames, unit="frame", desc="  rendering the room",
            dynamic_ncols=True, mininterval=0.5)
        for stamp_ns, color, depth_mm in bar:
            depth_m = depth_mm.astype(np.float32) / np.float32(_MILLIMETERS)
            writer.add(stamp_ns, color, depth_m, color_format=_COLOR_FORMAT)
    return bag


def _rendered(frames: int) -> Iterator[Rendered]:
    """Yield all frames in order, rendered by two processes in turns of a few frames."""
    turns = [(start, min(start + _CHUNK, frames)) for start in range(0, frames, _CHUNK)]
    spawn = multiprocessing.get_context("spawn")  # fork would copy threads of DDS and OpenCV
    with spawn.Pool(min(_PROCESSES, os.cpu_count() or 1), _start_worker) as pool:
        for chunk in pool.imap(_render, turns):
            yield from chunk


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that collects
    cv2.setNumThreads(1)


@cache
def _world() -> World:
    return make_world(WORLD, SEED)


def _render(turn: tuple[int, int]) -> list[Rendered]:
    """Render frames [start, stop); runs in a worker."""
    start, stop = turn
    made = []
    for item in _world().frames(stop, start):
        depth_m = item.frame.depth_m
        assert depth_m is not None
        color = encode_jpeg(item.frame.image, _JPEG_QUALITY)
        made.append((item.frame.stamp_ns, color, depth_to_stored(depth_m, _MILLIMETERS)))
    return made


def _code_hash() -> str:
    """Hash the files that decide what the pictures look like."""
    digest = hashlib.sha256()
    for path in [*sorted(Path(synth.__file__).parent.rglob("*.py")), Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
