"""Build the codebook an encoder needs: spherical k-means words and a whitened PCA around them.

    python training/build_codebook.py --weights E/encoder.safetensors --data E
    python training/build_codebook.py --encoder-name xfeat --weights xfeat_backbone.pt

The words come from images we render, so they belong to no scene of yours: from those of a training
run (--data, flat pictures and worlds), else from flat pictures made for it. The result lies beside
the weights, where `load_encoder` looks for it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from pairs import random_homography  # noqa: E402
from photometric import photometric  # noqa: E402
from procedural import dead_leaves, noise_bank  # noqa: E402

from ace_slam_ros.core.config.sections import EncoderConfig  # noqa: E402
from ace_slam_ros.core.encoders.extraction import texture  # noqa: E402
from ace_slam_ros.core.encoders.networks.network import GridNetwork  # noqa: E402
from ace_slam_ros.core.encoders.networks.weights import NETWORKS, load_network  # noqa: E402
from ace_slam_ros.core.encoders.weight_files import codebook_path  # noqa: E402
from ace_slam_ros.core.errors import EncoderError  # noqa: E402

_VIEW_PX, _PICTURE_PX, _VIEWS_AT_ONCE = 320, 448, 8


@dataclass(frozen=True)
class CodebookRecipe:
    """How a codebook is made.

    Attributes:
        words: how many.
        groups: coarse groups of words, for a quick search.
        inputs: principal directions kept.
        samples: descriptors the words are made of.
        rounds: of k-means.
        pictures: rendered when no pool is given.
        seed: of every random source.
    """

    words: int = 4096
    groups: int = 64
    inputs: int = 16
    samples: int = 150_000
    rounds: int = 10
    pictures: int = 150
    seed: int = 0


def render_pictures(recipe: CodebookRecipe, size: int = _PICTURE_PX) -> list[np.ndarray]:
    """Return procedural pictures (size, size) uint8, a pure function of the seed."""
    bank = noise_bank(np.random.default_rng([recipe.seed, 4]), 16, size + 64)
    return [dead_leaves(np.random.default_rng([recipe.seed, 5, k]), bank, size)
            for k in tqdm(range(recipe.pictures), desc="rendering pictures", disable=None)]


def training_pictures(folder: Path) -> list[np.ndarray]:
    """Return what a training run rendered, as square pictures: flat ones and frames of worlds."""
    pictures: list[np.ndarray] = list(np.load(folder / "pictures.npy", mmap_mode="r"))
    for path in sorted((folder / "worlds").glob("*.npz")):
        with np.load(path) as stored:
            gray = stored["gray"]
        edge = (gray.shape[2] - gray.shape[1]) // 2
        pictures += list(gray[:, :, edge:edge + gray.shape[1]])
    return pictures


def collect(
    network: GridNetwork, pictures: Sequence[np.ndarray], count: int, seed: int,
    device: torch.device, view: int = _VIEW_PX,
) -> Tensor:
    """Return (count, D) descriptors of textured cells of random views of the pictures."""
    spec = network.spec
    view = -(-view // spec.size_multiple) * spec.size_multiple
    margin = max(1, 16 // spec.stride)  # what lies at the border saw padding
    found: list[Tensor] = []
    total, k = 0, 0
    bar = tqdm(total=count, desc="describing", disable=None)
    while total < count:
        rng = np.random.default_rng([seed, 3, k])
        views = []
        for _ in range(_VIEWS_AT_ONCE):
            picture = pictures[int(rng.integers(len(pictures)))]
            H = random_homography(rng, picture.shape[0], view)
            views.append(photometric(rng, cv2.warpPerspective(
                picture, H, (view, view), flags=cv2.INTER_AREA,
                borderMode=cv2.BORDER_REFLECT_101)))
        images = torch.from_numpy(np.stack(views)[:, None].astype(np.float32)).to(device)
        with torch.inference_mode():
            grids = network(images).permute(0, 2, 3, 1)
        inner = slice(margin, -margin)
        for image, grid in zip(views, grids, strict=True):
            score = torch.from_numpy(texture(image, spec.stride)[inner, inner].copy()).reshape(-1)
            chosen = score.topk(len(score) // 3).indices.to(device)
            found.append(grid[inner, inner].reshape(len(score), -1)[chosen])
            total += len(chosen)
            bar.update(len(chosen))
        k += 1
    bar.close()
    return torch.cat(found)[:count]


def spherical_kmeans(data_ND: Tensor, words: int, rounds: int, seed: int) -> Tensor:
    """Return (words, D) unit-norm centers; empty words restart at random samples."""
    generator = torch.Generator().manual_seed(seed)
    centers = data_ND[torch.randperm(len(data_ND), generator=generator)[:words].to(data_ND.device)]
    for _ in tqdm(range(rounds), desc="k-means", disable=None):
        label = nearest(data_ND, centers)
        sums = torch.zeros_like(centers).index_add_(0, label, data_ND)
        count = torch.bincount(label, minlength=words)
        restart = data_ND[torch.randint(len(data_ND), (words,), generator=generator)
                          .to(data_ND.device)]
        sums = torch.where(count[:, None] > 0, sums, restart)
        centers = torch.nn.functional.normalize(sums, dim=1)
    return centers


def nearest(data_ND: Tensor, centers_KD: Tensor) -> Tensor:
    """Return the most similar center (N,) of each row."""
    return torch.cat([(part @ centers_KD.T).argmax(1) for part in data_ND.split(16384)])


def build_codebook(
    network: GridNetwork, recipe: CodebookRecipe, device: torch.device,
    pictures: Sequence[np.ndarray] | None = None,
) -> dict[str, Tensor]:
    """Return words (K, D) fp16, coarse (G, D) and projection (D, P), as a codebook file holds."""
    network = network.to(device, memory_format=torch.channels_last)
    if pictures is None:
        pictures = render_pictures(recipe)
    data = collect(network, pictures, recipe.samples, recipe.seed, device)
    words = spherical_kmeans(data, recipe.words, recipe.rounds, recipe.seed)
    difference = data - words[nearest(data, words)]
    values, vectors = torch.linalg.eigh(difference.T @ difference / len(difference))
    order = values.argsort(descending=True)[: recipe.inputs]
    projection = vectors[:, order] / values[order].sqrt()
    coarse = spherical_kmeans(words, recipe.groups, 30, recipe.seed)
    kept = float(values[order].sum() / values.sum())
    print(f"{recipe.words} words, {recipe.inputs} directions hold {100 * kept:.0f} % of the "
          "variance around a word")
    return {"words": words.half().contiguous().cpu(), "coarse": coarse.contiguous().cpu(),
            "projection": projection.contiguous().cpu()}


def main() -> int:
    """Build a codebook and write it; 2 when the weights cannot be used."""
    default = CodebookRecipe()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder-name", choices=tuple(NETWORKS), default="tiny")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: beside the weights")
    parser.add_argument("--data", type=Path, help="folder of a training run")
    parser.add_argument("--words", type=int, default=default.words)
    parser.add_argument("--samples", type=int, default=default.samples)
    parser.add_argument("--pictures", type=int, default=default.pictures)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        network, _ = load_network(EncoderConfig(name=args.encoder_name, weights=str(args.weights)))
    except EncoderError as error:
        print(error, file=sys.stderr)
        return 2
    recipe = CodebookRecipe(
        words=args.words, groups=max(1, min(default.groups, args.words // 8)),
        samples=args.samples, pictures=args.pictures, seed=args.seed)
    pictures = None if args.data is None else training_pictures(args.data)
    tensors = build_codebook(network, recipe, torch.device(args.device), pictures)
    path = args.out or codebook_path(args.weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
