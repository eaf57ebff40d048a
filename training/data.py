"""The training data: pictures and worlds rendered once, batches drawn from them by step."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pairs import Pair, picture_pair
from procedural import dead_leaves, noise_bank
from recipe import Recipe
from tqdm import tqdm
from worlds import Shots, load_shots, render_scenes, world_pair

#: Steps from here on draw validation batches, from pictures and scenes that training never sees.
VALIDATION = 10_000_000
_HELD_OUT_PICTURES, _HELD_OUT_SCENES = 0.04, 1


class Data:
    """Pictures and scenes of a recipe, in a folder where they are rendered on first use."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self._recipe = recipe
        pictures = np.load(folder / "pictures.npy", mmap_mode="r")
        kept = int(len(pictures) * (1 - _HELD_OUT_PICTURES))
        self._pictures = {False: list(pictures[:kept]), True: list(pictures[kept:])}
        self._scenes: dict[bool, list[Shots]] = {False: [], True: []}
        if any(stage.world_share > 0 for stage in recipe.stages):
            scenes = [load_shots(p) for p in sorted((folder / "worlds").glob("*.npz"))]
            if len(scenes) <= _HELD_OUT_SCENES:
                raise ValueError("a recipe with worlds needs at least two scenes")
            self._scenes = {False: scenes[_HELD_OUT_SCENES:], True: scenes[:_HELD_OUT_SCENES]}

    def batch(self, step: int) -> dict[str, npt.NDArray[np.float32]]:
        """Return one batch, a pure function of recipe and step.

        Returns:
            images (2 * pairs, 1, view, view) float32 0..255, a-views first; pixels_a, pixels_b
            (pairs, cells, 2); valid (pairs, cells), 1.0 where the pixels correspond.
        """
        recipe, held_out = self._recipe, step >= VALIDATION
        stage = recipe.stages[-1] if held_out else recipe.at(step)[0]
        rng = np.random.default_rng([recipe.seed, 1, step])
        pairs: list[Pair] = []
        for _ in range(stage.pairs):
            if rng.random() < stage.world_share:
                scenes = self._scenes[held_out]
                pairs.append(world_pair(
                    rng, scenes[int(rng.integers(len(scenes)))], stage.view, recipe.cells))
            else:
                pairs.append(picture_pair(rng, self._pictures[held_out], stage.view,
                                          recipe.cells, stage.most_layers))
        images = [p.image_a for p in pairs] + [p.image_b for p in pairs]
        return {
            "images": np.stack(images)[:, None].astype(np.float32),
            "pixels_a": np.stack([p.pixels_a_N2 for p in pairs]),
            "pixels_b": np.stack([p.pixels_b_N2 for p in pairs]),
            "valid": np.stack([p.valid_N for p in pairs]).astype(np.float32),
        }


def prepare(recipe: Recipe, folder: Path, workers: int) -> None:
    """Render what the recipe needs and the folder lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pictures.npy"
    if not path.exists():
        bank = noise_bank(np.random.default_rng([recipe.seed, 2]), 48, recipe.base + 64)
        pictures = np.stack([
            dead_leaves(np.random.default_rng([recipe.seed, 0, k]), bank, recipe.base)
            for k in tqdm(range(recipe.images), desc="rendering pictures")])
        temporary = path.with_suffix(".tmp.npy")
        np.save(temporary, pictures)
        temporary.replace(path)
    if any(stage.world_share > 0 for stage in recipe.stages):
        render_scenes(folder / "worlds", recipe.scenes, workers)


_data: list[Data] = []


def _start_worker(recipe: Recipe, folder: Path) -> None:
    cv2.setNumThreads(1)
    _data.append(Data(recipe, folder))


def draw(step: int) -> dict[str, npt.NDArray[np.float32]]:
    """Make the batch of a step, in a worker process."""
    return _data[0].batch(step)


def batch_workers(recipe: Recipe, folder: Path, count: int) -> ProcessPoolExecutor:
    """Return processes that make batches; submit `draw(step)`."""
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"),
                               initializer=_start_worker, initargs=(recipe, folder))


def worker_count(device_type: str) -> int:
    """Processes beside the training: one on a CPU, nearly all cores with a GPU."""
    return 1 if device_type == "cpu" else max(1, (os.cpu_count() or 2) - 2)
