"""Train the encoder from nothing on images we render: one command, any device, resumable.

    python training/train_encoder.py --out out/encoder            # under three hours on a CPU
    python training/train_encoder.py --out out/encoder --device cuda

Running it again continues from the last checkpoint. The result, `encoder.safetensors` (fp16,
normalization folded away), goes to `ace_slam_ros/core/encoders/assets/`;
then run `build_codebook.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from data import VALIDATION, batch_workers, draw, prepare, worker_count  # noqa: E402
from export import export_encoder, plot_curves  # noqa: E402
from losses import contrastive_loss, sample  # noqa: E402
from merging import fit_merging  # noqa: E402
from recipe import Recipe, Stage  # noqa: E402

from ace_slam_ros.core.encoders.networks.network import normalize  # noqa: E402
from ace_slam_ros.core.encoders.networks.tiny import EncoderNetwork  # noqa: E402

#: Batches made ahead of the training.
_AHEAD = 32
#: Batches of views that the merging with the orientation histograms is fitted to.
_FIT_BATCHES = 40


def train_step(
    network: EncoderNetwork, batch: dict[str, np.ndarray], recipe: Recipe, stage: Stage,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (loss, accuracy) of one batch."""
    images = torch.from_numpy(batch["images"]).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    pixels_a = torch.from_numpy(batch["pixels_a"]).to(device)
    pixels_b = torch.from_numpy(batch["pixels_b"]).to(device)
    valid = torch.from_numpy(batch["valid"]).to(device) > 0
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        maps = network.learned(normalize(images))
    map_a, map_b = maps.float().chunk(2)
    return contrastive_loss(
        sample(map_a, pixels_a, stage.view), sample(map_b, pixels_b, stage.view),
        pixels_a, pixels_b, valid, recipe.temperature, recipe.exclude_px,
        (map_a, map_b) if stage.every_cell else None)


def validate(
    network: EncoderNetwork, batches: list[dict[str, np.ndarray]], recipe: Recipe,
    device: torch.device,
) -> float:
    """Return the mean top-1 accuracy on the fixed validation batches."""
    network.eval()
    with torch.inference_mode():
        found = [float(train_step(network, b, recipe, recipe.stages[-1], device)[1])
                 for b in batches]
    network.train()
    return float(np.mean(found))


def start_stage(
    network: EncoderNetwork, recipe: Recipe, stage: Stage
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """Return a fresh optimizer and its schedule for a stage."""
    optimizer = torch.optim.AdamW(
        network.parameters(), stage.learning_rate, weight_decay=recipe.weight_decay)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, stage.learning_rate, total_steps=stage.steps, pct_start=0.08)


def train(recipe: Recipe, out: Path, device: torch.device, progress: bool = True) -> Path:
    """Train, checkpoint every 250 steps, merge, export; continue where a checkpoint is found.

    Returns:
        Path of the exported weights.
    """
    prepare(recipe, out, max(1, os.cpu_count() or 1))
    torch.manual_seed(recipe.seed)
    network = EncoderNetwork(mirrored=False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, schedule = start_stage(network, recipe, recipe.stages[0])
    first, log = 0, []
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["recipe"] != _plain(recipe):
            raise SystemExit(f"{checkpoint} was made with another recipe: choose another --out")
        network.load_state_dict(state["network"])
        first, log = state["step"], state["log"]
        stage, begin = recipe.at(first)
        optimizer, schedule = start_stage(network, recipe, stage)
        if first > begin:
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
    with batch_workers(recipe, out, worker_count(device.type)) as workers:
        held_out = [workers.submit(draw, VALIDATION + k).result() for k in range(8)]
        queue: deque[Future[dict[str, np.ndarray]]] = deque(
            workers.submit(draw, s) for s in range(first, min(first + _AHEAD, recipe.steps)))
        bar = tqdm(range(first, recipe.steps), initial=first, total=recipe.steps,
                   desc="training", disable=not progress, mininterval=5)
        for step in bar:
            stage, begin = recipe.at(step)
            if step == begin and step > 0:
                optimizer, schedule = start_stage(network, recipe, stage)
            batch = queue.popleft().result()
            if step + _AHEAD < recipe.steps:
                queue.append(workers.submit(draw, step + _AHEAD))
            loss, accuracy = train_step(network, batch, recipe, stage, device)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 50 == 49 or step + 1 == recipe.steps:
                log.append([step + 1, loss.item(), accuracy.item()])
                bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{accuracy.item():.3f}")
            if step % 250 == 249 or step + 1 == recipe.steps:
                log[-1].append(validate(network, held_out, recipe, device))
                temporary = checkpoint.with_suffix(".tmp")
                torch.save({
                    "recipe": _plain(recipe), "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
                    "step": step + 1, "log": log,
                }, temporary)
                temporary.replace(checkpoint)
                plot_curves(log, out / "training.png")
                (out / "log.json").write_text(json.dumps(log))
        merged = EncoderNetwork().to(device).eval()
        merged.load_state_dict(network.state_dict())
        fit_merging(merged, (
            torch.from_numpy(workers.submit(draw, recipe.steps + k).result()["images"]).to(device)
            for k in range(_FIT_BATCHES)), recipe.seed)
    export_encoder(merged, recipe, out / "encoder.safetensors")
    return out / "encoder.safetensors"


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as what a checkpoint may hold."""
    return dict(json.loads(json.dumps(asdict(recipe))))


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="0 = torch's default")
    parser.add_argument("--steps-share", type=float, default=1.0,
                        help="share of the recipe's steps in every stage, for a quick try")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--images", type=int, default=Recipe.images)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    started = time.time()
    recipe = Recipe(seed=args.seed, images=args.images, stages=tuple(
        replace(stage, steps=max(1, round(stage.steps * args.steps_share)))
        for stage in Recipe().stages))
    path = train(recipe, args.out, torch.device(args.device))
    print(f"{path} after {(time.time() - started) / 60:.1f} min")


if __name__ == "__main__":
    main()
