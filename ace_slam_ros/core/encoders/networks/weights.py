"""Networks of encoders by name, and their weights: read by path and fitted; nothing is fetched."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from ...errors import EncoderError
from ..weight_files import read_weights, weights_path
from .published.ace import AceNetwork
from .published.dinov2 import DinoNetwork
from .published.superpoint import SuperPointNetwork
from .published.xfeat import XFeatNetwork
from .tiny import EncoderNetwork

if TYPE_CHECKING:
    from ...config.sections import EncoderConfig
    from .network import GridNetwork, StateDict

log = logging.getLogger(__name__)

#: The encoders by name; `encoder.name` offers the same ones.
NETWORKS: dict[str, type[GridNetwork]] = {
    kind.spec.name: kind for kind in (
        EncoderNetwork, XFeatNetwork, SuperPointNetwork, AceNetwork, DinoNetwork)}

#: Wrappers that published checkpoints have around the tensors.
_WRAPPERS = ("state_dict", "model")


def load_network(config: EncoderConfig) -> tuple[GridNetwork, bytes]:
    """Load the network alone, on the CPU in single precision, ready to run.

    Returns:
        (network, the weights file as read).

    Raises:
        EncoderError: weights are missing, damaged, of another architecture, or not the ones with
            the hash asked for; no path is given for an encoder that does not ship with the
            package; or a library is missing.
    """
    kind, path = NETWORKS[config.name], weights_path(config)
    if kind is not EncoderNetwork and not config.weights:
        raise EncoderError(
            f"encoder.name={config.name} does not ship with the package (license: "
            f"{kind.spec.license}): give the path of its weights as encoder.weights")
    blob, digest = read_weights(config)
    state = parse_tensors(path, blob)
    network = fit(kind.for_weights(state), state, path)
    ours = logging.INFO if config.weights else logging.DEBUG
    log.log(logging.WARNING if network.spec.restricted else ours,
            "encoder %s: weights %s, SHA-256 %s, license: %s", network.spec.name, path, digest,
            network.spec.license)
    return network, blob


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
