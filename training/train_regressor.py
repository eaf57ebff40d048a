"""Train the regressor of the head `aceg` on rendered scenes: one command, resumable.

    python training/train_regressor.py --out out/regressor             # an hour or two on a CPU
    python training/train_regressor.py --out out/more --start out/regressor/regressor.safetensors
    python training/train_regressor.py --out out/plain --no-query      # to compare with

Scenes are rendered once into `OUT/scenes` (or `--data`) and kept as features. Running it again
continues from the last checkpoint. The result, `regressor.safetensors` (fp16), goes to
`ace_slam_ros/core/heads/aceg/assets/`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from regressor.batches import FAR_M, NEAR_M, Batch, Batches  # noqa: E402
from regressor.curves import plot_curves  # noqa: E402
from regressor.scenes import render_scenes  # noqa: E402

from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.encoders.base import Encoder  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.heads.aceg.regressor import (  # noqa: E402
    KEYS,
    KeyNetwork,
    main_directions,
)
from ace_slam_ros.core.runtime.device import set_threads  # noqa: E402

#: Scenes from here on are for validation.
HELD_OUT = 900
_EVERY, _VALIDATION_BATCHES = 250, 24


@dataclass(frozen=True)
class Recipe:
    """What the weights are trained with.

    Attributes:
        seed: of everything random.
        scenes, held_out: to train on, and for validation.
        with_queries: whether queries from other paths and light are trained on, in turn with
            mapping views.
        width: of the hidden layers.
        steps: batches; `minutes` may end them before.
        minutes: of training at most; the learning rate falls in time for it.
        learning_rate, weight_decay: of AdamW; the rate rises over the first 5 % and falls to zero.
        start: weights of an earlier training to begin with; empty = from nothing.
    """

    seed: int = 0
    scenes: int = 160
    held_out: int = 8
    with_queries: bool = True
    width: int = 256
    steps: int = 20000
    minutes: float = 120.0
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-2
    start: str = ""


def loss_of(network: KeyNetwork, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the loss of a batch, and shares of the features that a near token was there for.

    The loss is InfoNCE with all near tokens as positives together; those in between count
    nowhere. Shares: nearest token near (`first`), one of 16 nearest near (`among_16`).
    """
    keys_TK, queries_NK = network(batch.tokens_TD), network(batch.queries_ND)
    near_NT, far_NT = batch.gap_m_NT < NEAR_M, batch.gap_m_NT > FAR_M
    known = near_NT.any(dim=1)
    cosine_nT = (queries_NK @ keys_TK.T)[known]
    logits_nT = cosine_nT / network.log_temperature.exp()
    near_nT, either_nT = near_NT[known], (near_NT | far_NT)[known]
    lowest = torch.finfo(logits_nT.dtype).min
    positive = torch.logsumexp(logits_nT.masked_fill(~near_nT, lowest), dim=1)
    loss = (torch.logsumexp(logits_nT.masked_fill(~either_nT, lowest), dim=1) - positive).mean()
    with torch.no_grad():
        hit = near_nT.gather(1, cosine_nT.topk(16, dim=1).indices)
    return loss, {"first": float(hit[:, 0].float().mean()),
                  "among_16": float(hit.any(dim=1).float().mean())}


@torch.inference_mode()
def validate(network: KeyNetwork, batches: list[Batch]) -> dict[str, float]:
    """Return means over batches."""
    rows = [(float(loss), shares) for loss, shares in (loss_of(network, b) for b in batches)]
    found = {name: sum(s[name] for _, s in rows) / len(rows) for name in rows[0][1]}
    return {"loss": sum(loss for loss, _ in rows) / len(rows), **found}


class Training:
    """A network, its optimizer and how far it is; kept in a checkpoint.

    Raises:
        SystemExit: the checkpoint was made with another recipe.
    """

    def __init__(self, recipe: Recipe, encoder: Encoder, out: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self._path = recipe, out / "checkpoint.pt"
        self.network = KeyNetwork(
            main_directions(torch.from_numpy(encoder.codebook.words_KD), KEYS), recipe.width)
        if recipe.start:
            self.network.load_state_dict(load_file(recipe.start))
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.step, self._spent_s, self.log = 0, 0.0, []
        if self._path.exists():
            state: dict[str, Any] = torch.load(self._path, weights_only=True)
            if state["recipe"] != asdict(recipe):
                raise SystemExit(
                    f"{self._path} was made with another recipe: choose another --out")
            self.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step, self._spent_s, self.log = state["step"], state["spent_s"], state["log"]

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        return max(self.step / self.recipe.steps, self._spent_s / (60 * self.recipe.minutes))

    def learn(self, batch: Batch) -> float:
        """Do one step; returns the loss."""
        started = time.perf_counter()
        done = self.progress
        rate = self.recipe.learning_rate * min(done / 0.05, (1 - done) / 0.95)
        for group in self._optimizer.param_groups:
            group["lr"] = max(rate, 1e-3 * self.recipe.learning_rate)
        loss, _ = loss_of(self.network, batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        self._spent_s += time.perf_counter() - started
        return float(loss.detach())

    def save(self) -> None:
        """Write the checkpoint."""
        temporary = self._path.with_suffix(".tmp")
        torch.save({"recipe": asdict(self.recipe), "network": self.network.state_dict(),
                    "optimizer": self._optimizer.state_dict(), "step": self.step,
                    "spent_s": self._spent_s, "log": self.log}, temporary)
        temporary.replace(self._path)


def train(recipe: Recipe, out: Path, data: Path, progress: bool = True) -> Path:
    """Render what lacks, train, export; continue where a checkpoint is found.

    Returns:
        Path of the weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = SlamConfig()
    encoder = load_encoder(config.encoder, torch.device("cpu"))
    batches = Batches(render_scenes(data, recipe.scenes, encoder, config), recipe.seed,
                      recipe.with_queries)
    held_out = Batches(
        render_scenes(data, recipe.held_out, encoder, config, HELD_OUT), 0, True)
    asked = {name: [held_out.draw(2 * n + odd) for n in range(_VALIDATION_BATCHES)]
             for odd, name in enumerate(("mapping", "query"))}
    training = Training(recipe, encoder, out)
    bar = tqdm(total=recipe.steps, initial=training.step, disable=not progress, mininterval=10)
    losses: list[float] = []
    while training.progress < 1.0:
        if training.step % _EVERY == 0 and (losses or not training.log):
            record(training, losses, asked, out)
            losses = []
        losses.append(training.learn(batches.draw(training.step)))
        bar.update()
    if losses:
        record(training, losses, asked, out)
    path = out / "regressor.safetensors"
    save_file({name: value.half().contiguous() for name, value
               in training.network.state_dict().items()}, path,
              {"encoder_hash": encoder.hash, "recipe": json.dumps(
                  asdict(recipe) | {"start": Path(recipe.start).name})})
    return path


def record(
    training: Training, losses: list[float], asked: dict[str, list[Batch]], out: Path
) -> None:
    """Validate, note, draw, and keep the state."""
    row: dict[str, Any] = {"step": training.step}
    if losses:
        row["loss"] = sum(losses) / len(losses)
    row |= {name: validate(training.network, batches) for name, batches in asked.items()}
    training.log.append(row)
    training.save()
    (out / "log.json").write_text(json.dumps(training.log, indent=1))
    plot_curves(training.log, out / "training.png")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of the scenes, OUT/scenes by default")
    parser.add_argument("--scenes", type=int, default=Recipe.scenes)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--start", default=Recipe.start, metavar="FILE",
                        help="weights of an earlier training to begin with")
    parser.add_argument("--no-query", action="store_true",
                        help="train on mapping views alone, to compare with")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    set_threads(args.threads)
    recipe = Recipe(seed=args.seed, scenes=args.scenes, steps=args.steps, minutes=args.minutes,
                    with_queries=not args.no_query, start=args.start)
    print(train(recipe, args.out, args.data or args.out / "scenes"))


if __name__ == "__main__":
    main()
