"""Files of weights and codebooks: where they lie, read and checked, without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from ..errors import EncoderError
from .codebook import Codebook

if TYPE_CHECKING:
    from ..config.sections import EncoderConfig

ASSETS = Path(__file__).parent / "assets"


def weights_path(config: EncoderConfig) -> Path:
    """Return where the weights lie: where the user says, or those of the shipped encoder."""
    return Path(config.weights) if config.weights else ASSETS / "tiny_encoder.safetensors"


def read_weights(config: EncoderConfig) -> tuple[bytes, str]:
    """Return the file of weights as it is, and its SHA-256.

    Raises:
        EncoderError: it cannot be read, or its hash is not the one asked for.
    """
    path = weights_path(config)
    blob = read_bytes(path, "give the path of its weights as encoder.weights" if config.weights
                      else "reinstall the package, or train with training/train_encoder.py")
    return blob, check_sha256(path, blob, config.weights_sha256)


def codebook_path(weights: Path) -> Path:
    """Return where the codebook of these weights is looked for when no path is given."""
    if "encoder" in weights.stem:
        return weights.with_name(
            weights.stem.replace("encoder", "codebook") + ".safetensors")
    return weights.with_name(f"{weights.stem}_codebook.safetensors")


def read_codebook(config: EncoderConfig, dimension: int) -> tuple[Codebook, bytes]:
    """Return the codebook of an encoder, and its file as it is.

    Args:
        config: names the file; without, it lies beside the weights.
        dimension: width of the encoder's descriptors.

    Raises:
        EncoderError: it is missing, damaged, or of another width.
    """
    weights = weights_path(config)
    path = Path(config.codebook) if config.codebook else codebook_path(weights)
    fix = (f"build it with `python training/build_codebook.py --encoder-name {config.name} "
           f"--weights {weights} --out {path}`, or give its path as encoder.codebook")
    blob = read_bytes(path, fix)
    codebook = parse_codebook(path, blob)
    if codebook.words_KD.shape[1] != dimension:
        raise EncoderError(
            f"{path} has words of width {codebook.words_KD.shape[1]}, but '{config.name}' has "
            f"descriptors of width {dimension}: {fix}")
    return codebook, blob


def parse_codebook(path: Path, blob: bytes) -> Codebook:
    """Read a codebook.

    Raises:
        EncoderError: damaged, or not a codebook.
    """
    try:
        arrays = load_safetensors(blob)
        return Codebook(arrays["words"], arrays["projection"], arrays["coarse"])
    except (SafetensorError, ValueError, KeyError, IndexError) as error:
        raise EncoderError(
            f"{path} does not hold a codebook ({error}): build it again with "
            "training/build_codebook.py") from error


def content_hash(weights: bytes, codebook: bytes) -> str:
    """Return what tells an encoder from others, see `Encoder.hash`, from its two files."""
    return hashlib.sha256(weights + codebook).hexdigest()[:16]


def read_bytes(path: Path, fix: str) -> bytes:
    """Read a file.

    Raises:
        EncoderError: it cannot be read; the message ends with `fix`.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise EncoderError(f"cannot read {path}: {error.strerror}; {fix}") from error


def check_sha256(path: Path, blob: bytes, expected: str) -> str:
    """Return the SHA-256 of the weights.

    Raises:
        EncoderError: `expected` is not empty and differs.
    """
    found = hashlib.sha256(blob).hexdigest()
    if expected and expected.strip().lower() != found:
        raise EncoderError(
            f"{path} has the SHA-256 {found}, but encoder.weights_sha256 is {expected}: get the "
            "weights again from where they are published, or correct the parameter")
    return found
