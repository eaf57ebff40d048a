"""The frozen encoder with what belongs to it: weights, codebook, projection, content hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from .codebook import Codebook
from .config import EncoderConfig
from .encoder_network import DIMENSION, STRIDE, EncoderNetwork, fold_normalisation
from .errors import EncoderError

ASSETS = Path(__file__).parent / "assets"
_SIZE_MULTIPLE = 32


class Encoder:
    """A loaded encoder: image in, descriptors on an 8-pixel grid out.

    Attributes:
        name: which encoder.
        hash: first 16 hex digits of the SHA-256 over weights and codebook; maps record it.
        stride: pixels per cell.
        dimension: descriptor width.
        codebook: words and projection for the affine head.
        device: where the network lives.
    """

    def __init__(
        self, name: str, content_hash: str, network: EncoderNetwork, codebook: Codebook,
        device: torch.device,
    ) -> None:
        self.name = name
        self.hash = content_hash
        self.stride = STRIDE
        self.dimension = DIMENSION
        self.device = device
        self.codebook = codebook.to(device)
        self._network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def describe(self, grey_HW: npt.NDArray[np.uint8]) -> Tensor:
        """Return (h, w, D) float32 unit-norm descriptors of a grey image, h = H // 8, w = W // 8.

        Cell (i, j) describes the image around pixel (8 j + 3.5, 8 i + 3.5).
        """
        height, width = grey_HW.shape
        pad_y, pad_x = -height % _SIZE_MULTIPLE, -width % _SIZE_MULTIPLE
        if pad_y or pad_x:
            grey_HW = np.pad(grey_HW, ((0, pad_y), (0, pad_x)), mode="edge")
        image = torch.from_numpy(np.ascontiguousarray(grey_HW)).to(self.device)
        image_11HW = image.to(torch.float32)[None, None]
        grid: Tensor = self._network(image_11HW)[0].permute(1, 2, 0)
        return grid[: height // STRIDE, : width // STRIDE]

    def warm_up(self, width: int = 640, height: int = 480) -> None:
        """Run once so that the first frame does not pay for kernel selection."""
        self.describe(np.zeros((height, width), np.uint8))


def load_encoder(config: EncoderConfig, device: torch.device) -> Encoder:
    """Load the encoder `config.name` (or the weights at `config.weights`) onto `device`.

    Raises:
        EncoderError: the files are missing, damaged, or of another architecture.
    """
    if config.name != "tiny":
        raise EncoderError(f"encoder.name='{config.name}': known encoders: tiny")
    weights = Path(config.weights) if config.weights else ASSETS / "tiny_encoder.safetensors"
    codebook = weights.with_name(weights.name.replace("encoder", "codebook"))
    blobs = []
    for path in (weights, codebook):
        try:
            blobs.append(path.read_bytes())
        except OSError as error:
            raise EncoderError(
                f"cannot read {path}: {error.strerror}; reinstall the package, or train with "
                "training/train_encoder.py and training/build_codebook.py"
            ) from error
    try:
        network = fold_normalisation(EncoderNetwork())
        network.load_state_dict({k: v.float() for k, v in load(blobs[0]).items()})
        words = load(blobs[1])
        book = Codebook(
            words["words"].float(), words["projection"].float(), words["coarse"].float())
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise EncoderError(f"{weights} does not hold a 'tiny' encoder: {error}") from error
    digest = hashlib.sha256(b"".join(blobs)).hexdigest()[:16]
    return Encoder(config.name, digest, network, book, device)
