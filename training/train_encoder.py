"""Train the encoder from nothing on procedural images: one command, any device, resumable.

    python training/train_encoder.py --out out/encoder            # about an hour on one CPU core
    python training/train_encoder.py --out out/encoder --device cuda

Running it again continues from the last checkpoint. The result, `encoder.safetensors` (fp16,
normalisation folded away), goes to `ace_slam_ros/core/assets/`; then run `build_codebook.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from export import export_encoder, plot_curves  # noqa: E402
from losses import contrastive_loss, correspondences, sample  # noqa: E402
from pairs import make_batch  # noqa: E402
from procedural import dead_leaves, noise_bank  # noqa: E402
from recipe import Recipe  # noqa: E402

from ace_slam_ros.core.encoder_network import STRIDE, EncoderNetwork  # noqa: E402

_POOL: list[np.ndarray] = []


def build_pool(recipe: Recipe, path: Path) -> np.ndarray:
    """Render the image pool (images, base, base) uint8, or load the one rendered before."""
    if path.exists():
        return np.load(path)
    bank = noise_bank(np.random.default_rng([recipe.seed, 2]), 48, recipe.base + 64)
    pool = np.stack([
        dead_leaves(np.random.default_rng([recipe.seed, 0, k]), bank, recipe.base)
        for k in tqdm(range(recipe.images), desc="rendering images")
    ])
    np.save(path, pool)
    return pool


def _start_worker(path: str) -> None:
    cv2.setNumThreads(1)
    _POOL.extend(np.load(path, mmap_mode="r"))


def _work(recipe: Recipe, step: int) -> dict[str, np.ndarray]:
    return make_batch(recipe.seed, step, _POOL, recipe.pairs, recipe.view)


def train_step(
    network: EncoderNetwork, batch: dict[str, np.ndarray], recipe: Recipe, step: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (loss, accuracy) of one batch."""
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    images = torch.from_numpy(batch["images"]).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    H_b_a = torch.from_numpy(batch["H_b_a"]).to(device)
    H_base_a = torch.from_numpy(batch["H_base_a"]).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        maps = network(images)
    maps = maps.float()
    pixels_a, pixels_b, valid = correspondences(
        H_b_a, H_base_a, recipe.view, recipe.base, STRIDE, recipe.cells, generator)
    a = sample(maps[: recipe.pairs], pixels_a, recipe.view)
    b = sample(maps[recipe.pairs:], pixels_b, recipe.view)
    return contrastive_loss(
        a, b, pixels_a, pixels_b, valid, recipe.temperature, recipe.exclude_px)


def validate(
    network: EncoderNetwork, batches: list[dict[str, np.ndarray]], recipe: Recipe,
    device: torch.device,
) -> float:
    """Return the mean top-1 accuracy on the fixed validation batches."""
    network.eval()
    with torch.inference_mode():
        found = [float(train_step(network, b, recipe, -1 - k, device)[1])
                 for k, b in enumerate(batches)]
    network.train()
    return float(np.mean(found))


def train(recipe: Recipe, out: Path, device: torch.device, progress: bool = True) -> Path:
    """Train, checkpoint every 250 steps, and export; continue where a checkpoint is found.

    Returns:
        Path of the exported weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    build_pool(recipe, out / "pool.npy")
    torch.manual_seed(recipe.seed)
    network = EncoderNetwork().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.08)
    first, log = 0, []
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise SystemExit(f"{checkpoint} was made with another recipe: choose another --out")
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        first, log = state["step"], state["log"]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1 if device.type == "cpu" else max(1, (os.cpu_count() or 2) - 2),
                             mp_context=spawn, initializer=_start_worker,
                             initargs=(str(out / "pool.npy"),)) as workers:
        held_out = [workers.submit(_work, recipe, 10_000_000 + k).result() for k in range(8)]
        ahead = 32
        queue: list[Future[dict[str, np.ndarray]]] = [
            workers.submit(_work, recipe, s)
            for s in range(first, min(first + ahead, recipe.steps))]
        bar = tqdm(range(first, recipe.steps), initial=first, total=recipe.steps,
                   desc="training", disable=not progress, mininterval=5)
        for step in bar:
            batch = queue.pop(0).result()
            if step + ahead < recipe.steps:
                queue.append(workers.submit(_work, recipe, step + ahead))
            loss, accuracy = train_step(network, batch, recipe, step, device)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if step % 50 == 49 or step + 1 == recipe.steps:
                log.append([step + 1, loss.item(), accuracy.item()])
                bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{accuracy.item():.3f}")
            if step % 250 == 249 or step + 1 == recipe.steps:
                log[-1].append(validate(network, held_out, recipe, device))
                temporary = checkpoint.with_suffix(".tmp")
                torch.save({
                    "recipe": asdict(recipe), "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(),
                    "step": step + 1, "log": log,
                }, temporary)
                temporary.replace(checkpoint)
                export_encoder(network, recipe, out / "encoder.safetensors")
                plot_curves(log, out / "training.png")
                (out / "log.json").write_text(json.dumps(log))
    return out / "encoder.safetensors"


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="0 = torch's default")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--images", type=int, default=Recipe.images)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    started = time.time()
    recipe = Recipe(seed=args.seed, steps=args.steps, images=args.images)
    path = train(recipe, args.out, torch.device(args.device))
    print(f"{path} after {(time.time() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
