"""Weights given by path: read, checked against a hash, fitted to a network; nothing is fetched."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from ..errors import EncoderError

if TYPE_CHECKING:
    from .network import GridNetwork, StateDict

#: Wrappers that published checkpoints have around the tensors.
_WRAPPERS = ("state_dict", "model")


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


def parse_tensors(path: Path, blob: bytes) -> StateDict:
    """Return the tensors of a safetensors file or of a torch state dict, without running code.

    Raises:
        EncoderError: neither of the two, or damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(blob)
        state = torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True)
        for name in _WRAPPERS:
            if isinstance(state, dict) and isinstance(state.get(name), dict):
                state = state[name]
    except Exception as error:  # torch's reader of pickles trips over damage in many ways
        raise EncoderError(
            f"{path} does not hold weights: {_first_line(error)}; give a .safetensors file or a "
            "state dict that torch.load(weights_only=True) reads") from error
    if not isinstance(state, dict) or not state or not all(
            isinstance(v, Tensor) for v in state.values()):
        raise EncoderError(f"{path} does not hold weights: a state dict of tensors is needed")
    return {str(name): value for name, value in state.items()}


def fit(network: GridNetwork, state: StateDict, path: Path) -> GridNetwork:
    """Load published tensors into a network and make it ready to run.

    Raises:
        EncoderError: names or shapes differ; the message says which were expected.
    """
    expected = {k: v for k, v in network.state_dict().items() if not _is_counter(k)}
    found = {k: v.float() for k, v in network.from_published(state).items() if not _is_counter(k)}
    problems = [f"'{k}' is missing, expected shape {_shape(v)}" for k, v in expected.items()
                if k not in found]
    problems += [f"'{k}' has shape {_shape(found[k])}, expected {_shape(v)}"
                 for k, v in expected.items() if k in found and found[k].shape != v.shape]
    problems += [f"'{k}' is not expected" for k in found if k not in expected]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise EncoderError(
            f"{path} does not hold a '{network.spec.name}' encoder: {'; '.join(problems[:3])}"
            f"{more}. Set encoder.name to what the weights are, or encoder.weights to others")
    network.load_state_dict(found, strict=False)  # all but the counters was compared above
    return network.ready()


def _is_counter(name: str) -> bool:
    """Batch normalization counts batches in training; inference does not look at it."""
    return name.endswith("num_batches_tracked")


def _shape(tensor: Tensor) -> str:
    return "x".join(str(n) for n in tensor.shape) or "scalar"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
