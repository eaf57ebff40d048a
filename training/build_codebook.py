"""Build the codebook that ships with an encoder: spherical k-means words and a whitened PCA.

    python training/build_codebook.py --encoder E/encoder.safetensors --pool E/pool.npy

The words come from the procedural training images alone, so they belong to no scene.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from pairs import make_pair  # noqa: E402

from ace_slam_ros.core.encoder_network import (  # noqa: E402
    STRIDE,
    EncoderNetwork,
    fold_normalisation,
)
from ace_slam_ros.core.features import texture  # noqa: E402


def collect(
    network: EncoderNetwork, pool: np.ndarray, count: int, seed: int, device: torch.device
) -> Tensor:
    """Return (count, D) descriptors of textured cells of random views of the pool."""
    found: list[Tensor] = []
    total, k = 0, 0
    bar = tqdm(total=count, desc="describing")
    while total < count:
        rng = np.random.default_rng([seed, 3, k])
        views = []
        for _ in range(8):
            a, b, _ = make_pair(rng, pool[int(rng.integers(len(pool)))], 256)
            views += [a, b]
        images = torch.from_numpy(np.stack(views)[:, None].astype(np.float32)).to(device)
        with torch.inference_mode():
            grid = network(images).permute(0, 2, 3, 1)
        for view, cells in zip(views, grid, strict=True):
            score = torch.from_numpy(texture(view, STRIDE))[2:-2, 2:-2].reshape(-1)
            chosen = score.topk(len(score) // 3).indices
            found.append(cells[2:-2, 2:-2].reshape(len(score), -1)[chosen.to(device)])
            total += len(chosen)
            bar.update(len(chosen))
        k += 1
    return torch.cat(found)[:count]


def spherical_kmeans(data_ND: Tensor, words: int, rounds: int, seed: int) -> Tensor:
    """Return (words, D) unit-norm centres; empty words restart at random samples."""
    generator = torch.Generator().manual_seed(seed)
    centres = data_ND[torch.randperm(len(data_ND), generator=generator)[:words].to(data_ND.device)]
    for _ in tqdm(range(rounds), desc="k-means"):
        label = torch.cat([(part @ centres.T).argmax(1) for part in data_ND.split(16384)])
        sums = torch.zeros_like(centres).index_add_(0, label, data_ND)
        count = torch.bincount(label, minlength=words)
        restart = data_ND[torch.randint(len(data_ND), (words,), generator=generator)
                          .to(data_ND.device)]
        sums = torch.where(count[:, None] > 0, sums, restart)
        centres = torch.nn.functional.normalize(sums, dim=1)
    return centres


def main() -> None:
    """Build and write `<encoder>` with 'encoder' replaced by 'codebook'."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True, help="pool.npy of the training run")
    parser.add_argument("--words", type=int, default=4096)
    parser.add_argument("--groups", type=int, default=64, help="coarse groups of words")
    parser.add_argument("--inputs", type=int, default=16, help="principal directions kept")
    parser.add_argument("--samples", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    device = torch.device(args.device)
    network = fold_normalisation(EncoderNetwork())
    network.load_state_dict({k: v.float() for k, v in load_file(args.encoder).items()})
    network = network.to(device, memory_format=torch.channels_last)
    data = collect(network, np.load(args.pool, mmap_mode="r"), args.samples, args.seed, device)
    words = spherical_kmeans(data, args.words, args.rounds, args.seed)
    label = torch.cat([(part @ words.T).argmax(1) for part in data.split(16384)])
    difference = data - words[label]
    values, vectors = torch.linalg.eigh(difference.T @ difference / len(difference))
    order = values.argsort(descending=True)[: args.inputs]
    projection = vectors[:, order] / values[order].sqrt()
    kept = float(values[order].sum() / values.sum())
    coarse = spherical_kmeans(words, args.groups, 30, args.seed)
    path = args.encoder.with_name(args.encoder.name.replace("encoder", "codebook"))
    save_file({"words": words.half().contiguous().cpu(),
               "coarse": coarse.float().contiguous().cpu(),
               "projection": projection.float().contiguous().cpu()}, path)
    print(f"{path}: {args.words} words, {args.inputs} directions hold {100 * kept:.0f} % of the "
          "variance around a word")


if __name__ == "__main__":
    main()
