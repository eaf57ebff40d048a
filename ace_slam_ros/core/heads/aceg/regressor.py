"""The regressor: what looks like what, from another side and in another light; it knows no scene.

It gives descriptors *keys*, whose cosine tells which tokens a feature attends to. Nothing of where
anything is enters it, so that a map that moves gives the same answers, moved.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from .head import KEYS

if TYPE_CHECKING:
    from ...encoders.base import Encoder
    from ...encoders.codebook import Codebook
    from ...geometry.arrays import Float32Array

WEIGHTS = Path(__file__).parent / "assets" / "regressor.safetensors"
#: Softmax temperature of cosines where nothing was learned.
PLAIN_TEMPERATURE = 0.05


class KeyNetwork(nn.Module):
    """Two hidden layers beside a projection of the descriptor, which is all before training.

    Args:
        projection_DK: (D, K) orthonormal directions, see `main_directions`.
        width: of the hidden layers.
    """

    projection_DK: Tensor

    def __init__(self, projection_DK: Tensor, width: int) -> None:
        super().__init__()
        dimension, keys = projection_DK.shape
        self.register_buffer("projection_DK", projection_DK.contiguous())
        self.layers = nn.Sequential(
            nn.Linear(dimension, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, keys))
        last = self.layers[4]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.log_temperature = nn.Parameter(torch.tensor(PLAIN_TEMPERATURE).log())

    def forward(self, descriptors_ND: Tensor) -> Tensor:
        """Return unit-norm keys (N, K) of unit-norm descriptors (N, D)."""
        scaled_ND = descriptors_ND * descriptors_ND.shape[-1] ** 0.5
        return nn.functional.normalize(
            descriptors_ND @ self.projection_DK + self.layers(scaled_ND), dim=-1)


def main_directions(words_KD: Tensor, count: int) -> Tensor:
    """Return (D, count) orthonormal directions in which words are longest; all D if D is less."""
    rows: Tensor = torch.linalg.svd(words_KD, full_matrices=False)[2][:count]
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return (rows * largest.sign()).T.contiguous()


class Regressor:
    """Gives keys, with trained weights or as they begin.

    Attributes:
        coarse_GK: (G, K) float32 keys of the codebook's groups, to search tokens by.
        temperature: softmax temperature of cosines of keys.
        mark: tells its weights from others; a map of other weights cannot be read.
    """

    def __init__(self, network: KeyNetwork, codebook: Codebook, mark: int) -> None:
        self._network, self.mark = network.eval(), mark
        self.temperature = float(network.log_temperature.detach().exp())
        self.coarse_GK = self.keys(codebook.coarse_GD)

    @torch.inference_mode()
    def keys(self, descriptors_ND: Float32Array) -> Float32Array:
        """Return unit-norm keys (N, K) float32 of unit-norm descriptors."""
        found = self._network(torch.from_numpy(np.ascontiguousarray(descriptors_ND)))
        return np.asarray(found.numpy(), np.float32)


def regressor_for(encoder: Encoder, path: Path = WEIGHTS) -> Regressor:
    """Return the regressor trained for an encoder; for other encoders one without training.

    Args:
        encoder: whose descriptors it shall read.
        path: of weights as `training/train_regressor.py` writes them.
    """
    if path.exists():
        blob = path.read_bytes()
        with safe_open(path, framework="pt") as stored:
            if (stored.metadata() or {}).get("encoder_hash") == encoder.hash:
                tensors = {name: stored.get_tensor(name).float() for name in stored.keys()}
                network = KeyNetwork(tensors["projection_DK"], len(tensors["layers.0.bias"]))
                network.load_state_dict(tensors)
                return Regressor(network, encoder.codebook, zlib.crc32(blob))
    network = KeyNetwork(main_directions(torch.from_numpy(encoder.codebook.words_KD), KEYS), 1)
    return Regressor(network, encoder.codebook, zlib.crc32(encoder.hash.encode()))
