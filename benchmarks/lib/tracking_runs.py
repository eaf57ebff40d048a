"""Sequences and runs of the tracking benchmark: worlds rendered once, runs in own processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

import ace_slam_ros
from ace_slam_ros.core.data.submaps import MAIN_SUBMAP
from ace_slam_ros.core.data.trajectory import Trajectory, read_tum, stamp_to_text
from ace_slam_ros.core.maps.keyframe_codec import unpack_keyframes
from ace_slam_ros.evaluation.trajectory_error import absolute_trajectory_error
from ace_slam_ros.io.datasets.recording import read_listing
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.io.tum import write_tum_folder
from ace_slam_ros.synth.worlds import make_world

from .report import say

Job, Done = TypeVar("Job"), TypeVar("Done")

#: The world `dynamic` without its people: same room, light, path and sensor noise.
STATIC_TWIN = "dynamic_static"
#: The world `room`, seen by a hurried hand for as many frames.
FAST, FAST_FRAMES = "room_fast", 600
_BASELINE = (
    "import torch, cv2, scipy.spatial, numpy; torch.set_num_threads(1)\n"
    "torch.nn.Conv2d(1, 8, 3)(torch.zeros(1, 1, 64, 64))\n"
    "from ace_slam_ros.core.runtime.memory import peak_rss_mb\n"
    "print(peak_rss_mb())")


@dataclass(frozen=True)
class Sequence:
    """A sequence to run on.

    Attributes:
        name: world or data folder.
        seed: of the world; None for recorded data.
        path: TUM folder.
    """

    name: str
    seed: int | None
    path: Path

    @property
    def title(self) -> str:
        """Name and seed."""
        return self.name if self.seed is None else f"{self.name}_{self.seed}"


def rendered(world: str, seed: int, frames: int | None, cache: Path) -> Sequence:
    """Return a world's sequence, rendered unless it lies in the cache; movers' pixels beside."""
    name = {STATIC_TWIN: "dynamic", FAST: "room"}.get(world, world)
    made = make_world(name, seed, movers=False if world == STATIC_TWIN else None,
                      motion="fast" if world == FAST else "calm")
    longest = FAST_FRAMES if world == FAST else made.default_frames
    total = longest if frames is None else min(frames, longest)
    folder = cache / f"{world}_{seed}_{total}"
    if not folder.exists():
        say(f"rendering {folder.name}")
        masks: list[npt.NDArray[np.uint8]] = []

        def frames_of() -> Any:
            for item in made.frames(total):
                if made.movers:
                    masks.append(np.packbits(item.mover_mask))
                yield item.frame

        trajectory = made.trajectory(total)
        write_tum_folder(folder, frames_of(), trajectory, made.camera, jpeg_quality=92)
        if made.movers:
            np.savez_compressed(
                folder / "movers.npz", stamps_ns=trajectory.stamps_ns, packed=np.stack(masks))
    return Sequence(world, seed, folder)


def shortened(name: str, folder: Path, frames: int | None, cache: Path) -> Sequence:
    """Return a recorded sequence, or a copy of its lists that ends after some frames."""
    if frames is None:
        return Sequence(name, None, folder)
    stamps, _ = read_listing(folder / "rgb.txt")
    end = int(stamps[min(frames, len(stamps)) - 1]) + 20_000_000
    lists = [n for n in ("rgb.txt", "depth.txt", "groundtruth.txt") if (folder / n).exists()]
    return Sequence(name, None, _relisted(
        folder, cache / f"{name}_{frames}", lambda _, stamp_ns: stamp_ns <= end, lists))


def thinned(sequence: Sequence, every: int, cache: Path) -> Sequence:
    """Return a copy of a sequence's list of color images with every `every`-th one."""
    target = cache / f"{sequence.path.name}_every_{every}"
    return Sequence(sequence.name, sequence.seed, _relisted(
        sequence.path, target, lambda number, _: number % every == 0, ("rgb.txt",)))


def _relisted(
    folder: Path, target: Path, keep: Callable[[int, int], bool], listings: Iterable[str]
) -> Path:
    """Copy a TUM folder by links, with only the lines of the lists that `keep` wants.

    It is asked with number and stamp in ns.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for entry in folder.iterdir():
        if entry.name not in listings:
            (target / entry.name).symlink_to(entry.resolve())
    for listing in listings:
        stamps, names = read_listing(folder / listing)
        (target / listing).write_text("".join(
            f"{stamp_to_text(int(stamp))} {name}\n"
            for number, (stamp, name) in enumerate(zip(stamps, names, strict=True))
            if keep(number, int(stamp))))
    return target


def on_all_cores(work: Callable[[Job], Done], jobs: list[Job]) -> list[Done]:
    """Do jobs that start a process each, one per core at a time; results in their order."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(work, jobs))


class Runs:
    """Runs of `ace-slam run` in processes of their own, each with a folder for its results.

    Args:
        folder: of all runs.
        resume: keep runs that ended, of an earlier call with the same program and arguments.
        checkout: folder with the package to run, another version for example; default: the one
            that is imported here.
    """

    def __init__(
        self, folder: Path, resume: bool = False, checkout: Path | None = None
    ) -> None:
        self.folder, self._resume = folder.resolve(), resume
        self._checkout = (checkout or Path(ace_slam_ros.__file__).parents[1]).resolve()
        if not (self._checkout / "ace_slam_ros" / "cli.py").exists():
            raise SystemExit(f"{self._checkout}: no checkout of ace_slam_ros")
        self._program = _program_hash(self._checkout / "ace_slam_ros")

    def run(
        self, sequence: Sequence, name: str, *, rate: float | None = None,
        settings: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run on a sequence and return the summary; results lie in the folder `name`.

        A run that fails gives {"failed": message}: the table shows it and its checks fail.

        Args:
            sequence: to run on.
            name: of the run.
            rate: in real time, so many times as fast as recorded; None = every frame in turn.
            settings: parameters to change.
        """
        out = self.folder / name
        command = [sys.executable, "-m", "ace_slam_ros", "run", str(sequence.path.resolve()),
                   "--out", str(out)]
        command += ["--every-frame"] if rate is None else ["--realtime", "--rate", f"{rate:g}"]
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={json.dumps(value)}"]
        program = json.dumps([self._program, *command[1:]])
        ended = out / "ended.json"
        if not (self._resume and ended.exists() and ended.read_text() == program):
            shutil.rmtree(out, ignore_errors=True)
            # `python -m` looks for the package in the current folder first
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=self._checkout,
                env=os.environ | {"PYTHONPATH": str(self._checkout)})
            if done.returncode != 0:
                return {"failed": done.stderr.strip()[-500:]}
            ended.write_text(program)
        summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
        ate = summary["ate_rmse_m"]
        say(f"{self.folder.name} {name}: ATE {'-' if ate is None else f'{100 * ate:.2f} cm'}, "
            f"lost {summary['lost']}, skipped {summary['skipped']}, "
            f"p95 {summary['latency_ms']['p95']:.0f} ms")
        return summary


def _program_hash(package: Path) -> str:
    """Hash of a package's code and weights."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".safetensors"):
            digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return digest.hexdigest()


def baseline_rss_mb() -> float:
    """Peak memory (10^6 bytes) of a process that only loads the libraries and runs one layer."""
    done = subprocess.run(
        [sys.executable, "-c", _BASELINE], capture_output=True, text=True, check=True)
    return float(done.stdout)


def path_length_m(sequence: Sequence) -> float:
    """Length of the true camera path."""
    truth = read_tum(sequence.path / "groundtruth.txt")
    return float(np.linalg.norm(np.diff(truth.T_map_cam_N44[:, :3, 3], axis=0), axis=1).sum())


def map_ate_m(sequence: Sequence, out: Path) -> float | None:
    """Error of the keyframes of a run's map against the true path, after rigid alignment.

    Those in submaps whose place is unknown do not count; None when fewer than three are left.
    """
    keyframes = unpack_keyframes((out / "map" / "keyframes.safetensors").read_bytes())
    ordered = sorted((k for k in keyframes if k.submap == MAIN_SUBMAP),
                     key=lambda k: k.stamp_ns)
    if len(ordered) < 3:
        return None
    estimate = Trajectory.of((k.stamp_ns, k.T_map_cam) for k in ordered)
    truth = read_tum(sequence.path / "groundtruth.txt")
    return absolute_trajectory_error(estimate, truth).rmse_m


def first_lost_s(sequence: Sequence, out: Path) -> float | None:
    """When a run first lost track, in seconds since the first image; None when it never did."""
    stamps = open_source(sequence.path).stamps_ns
    tracked = read_tum(out / "trajectory.txt").stamps_ns
    missing = stamps[np.isin(stamps, tracked, invert=True) & (stamps > tracked[0])]
    return float(missing[0] - stamps[0]) * 1e-9 if len(missing) else None


def mover_shares(sequence: Sequence, out: Path) -> tuple[float, float]:
    """Share of movers among a map's features, and among the pixels of its keyframes."""
    known = np.load(sequence.path / "movers.npz")
    keyframes = unpack_keyframes((out / "map" / "keyframes.safetensors").read_bytes())
    on_mover = features = mover_px = 0
    for keyframe in keyframes:
        size = keyframe.camera.height, keyframe.camera.width
        index = int(np.abs(known["stamps_ns"] - keyframe.stamp_ns).argmin())
        mask = np.unpackbits(known["packed"][index]).reshape(size).astype(bool)
        columns, rows = keyframe.pixels_N2.round().astype(int).T
        on_mover += int(mask[rows, columns].sum())
        features += len(rows)
        mover_px += int(mask.sum())
    pixels = max(1, sum(k.camera.height * k.camera.width for k in keyframes))
    return on_mover / max(1, features), mover_px / pixels
