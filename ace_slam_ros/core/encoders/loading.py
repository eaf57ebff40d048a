"""From parameters to an encoder: the shipped one, or one of others with weights of the user."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from ..config.fields import add_choice
from ..errors import EncoderError
from .codebook import Codebook
from .cpu.cell_network import CellNetwork
from .cpu.runtimes import choose_layers
from .network import GridNetwork, NetworkEncoder
from .precision import choose_precision
from .published.ace import AceNetwork
from .published.dinov2 import DinoNetwork
from .published.superpoint import SuperPointNetwork
from .published.xfeat import XFeatNetwork
from .tiny import EncoderNetwork
from .weights import check_sha256, fit, parse_tensors, read_bytes

if TYPE_CHECKING:
    from ..config.sections import EncoderConfig
    from .base import Encoder

log = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"
#: The encoders by name; `encoder.name` offers the same ones.
NETWORKS: dict[str, type[GridNetwork]] = {
    kind.spec.name: kind for kind in (
        EncoderNetwork, XFeatNetwork, SuperPointNetwork, AceNetwork, DinoNetwork)}
#: Loads an encoder of one's own.
EncoderLoader = Callable[["EncoderConfig", torch.device], "Encoder"]
_registered: dict[str, EncoderLoader] = {}


def register_encoder(name: str, load: EncoderLoader) -> None:
    """Offer an encoder of one's own as `encoder.name`, in every process that calls this.

    Args:
        name: for the parameter, and for the maps that are made with it.
        load: returns the encoder for the section `encoder` of the parameters and a device.

    Raises:
        EncoderError: an encoder of this package has the name.
    """
    if name in NETWORKS:
        raise EncoderError(f"encoder '{name}' is one of ace_slam_ros: choose another name")
    _registered[name] = load
    add_choice("encoder.name", name)


def load_encoder(
    config: EncoderConfig, device: torch.device, *, describes: bool = True
) -> Encoder:
    """Load an encoder and its codebook onto `device`.

    Args:
        config: which one, and how it runs.
        device: where.
        describes: whether it will describe images; else its words alone count, as for a mapper,
            and memory is spared.

    Raises:
        EncoderError: weights or codebook are missing, damaged, of another architecture, or not
            the ones with the hash asked for; or a library is missing.
    """
    if config.name in _registered:
        return _registered[config.name](config, device)
    weights = weights_path(config)
    network, blob = load_network(config)
    path = Path(config.codebook) if config.codebook else codebook_path(weights)
    fix = (f"build it with `python training/build_codebook.py --encoder-name {config.name} "
           f"--weights {weights} --out {path}`, or give its path as encoder.codebook")
    codebook_blob = read_bytes(path, fix)
    codebook = parse_codebook(path, codebook_blob)
    if codebook.words_KD.shape[1] != network.spec.dimension:
        raise EncoderError(
            f"{path} has words of width {codebook.words_KD.shape[1]}, but '{config.name}' has "
            f"descriptors of width {network.spec.dimension}: {fix}")
    digest = hashlib.sha256(blob + codebook_blob).hexdigest()[:16]
    precision = choose_precision(config.precision, device)
    cells = None
    if describes and device.type == "cpu" and isinstance(network, EncoderNetwork):
        cells = CellNetwork(choose_layers(network, precision, config.runtime))
    encoder = NetworkEncoder(network, digest, codebook, device, precision, cells)
    log.debug("encoder %s: %s", encoder.name, encoder.runs_in)
    return encoder


def load_network(config: EncoderConfig) -> tuple[GridNetwork, bytes]:
    """Load the network alone, on the CPU in single precision, ready to run.

    Returns:
        (network, the weights file as read).

    Raises:
        EncoderError: see `load_encoder`.
    """
    kind = NETWORKS[config.name]
    path = weights_path(config)
    blob = read_bytes(path, "give the path of its weights as encoder.weights" if config.weights
                      else "reinstall the package, or train with training/train_encoder.py")
    digest = check_sha256(path, blob, config.weights_sha256)
    state = parse_tensors(path, blob)
    network = fit(kind.for_weights(state), state, path)
    ours = logging.INFO if config.weights else logging.DEBUG
    log.log(logging.WARNING if network.spec.restricted else ours,
            "encoder %s: weights %s, SHA-256 %s, license: %s", network.spec.name, path, digest,
            network.spec.license)
    return network, blob


def weights_path(config: EncoderConfig) -> Path:
    """Return where the weights lie.

    Raises:
        EncoderError: no path is given for an encoder that does not ship with the package.
    """
    if config.weights:
        return Path(config.weights)
    if config.name != EncoderNetwork.spec.name:
        raise EncoderError(
            f"encoder.name={config.name} does not ship with the package (license: "
            f"{NETWORKS[config.name].spec.license}): give the path of its weights as "
            "encoder.weights")
    return ASSETS / "tiny_encoder.safetensors"


def codebook_path(weights: Path) -> Path:
    """Return where the codebook of these weights is looked for when no path is given."""
    if "encoder" in weights.stem:
        return weights.with_name(
            weights.stem.replace("encoder", "codebook") + ".safetensors")
    return weights.with_name(f"{weights.stem}_codebook.safetensors")


def parse_codebook(path: Path, blob: bytes) -> Codebook:
    """Read a codebook.

    Raises:
        EncoderError: damaged, or not a codebook.
    """
    try:
        tensors = load_safetensors(blob)
        return Codebook(tensors["words"].float(), tensors["projection"].float(),
                        tensors["coarse"].float())
    except (SafetensorError, RuntimeError, KeyError, IndexError) as error:
        raise EncoderError(
            f"{path} does not hold a codebook ({error}): build it again with "
            "training/build_codebook.py") from error
