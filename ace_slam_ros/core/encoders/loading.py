"""From parameters to an encoder: the shipped one, or one of others with weights of the user."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..config.fields import add_choice
from ..errors import EncoderError
from ..runtime.device import Device
from ..runtime.precision import choose_precision
from .cpu.cell_encoder import load_cell_encoder
from .shipped import SPEC
from .weight_files import content_hash, read_codebook

if TYPE_CHECKING:
    from ..config.sections import EncoderConfig
    from .base import Encoder

log = logging.getLogger(__name__)

#: Loads an encoder of one's own.
EncoderLoader = Callable[["EncoderConfig", Device], "Encoder"]
_registered: dict[str, EncoderLoader] = {}


def register_encoder(name: str, load: EncoderLoader) -> None:
    """Offer an encoder of one's own as `encoder.name`, in every process that calls this.

    Args:
        name: for the parameter, and for the maps that are made with it.
        load: returns the encoder for the section `encoder` of the parameters and a device.

    Raises:
        EncoderError: an encoder of this package has the name.
    """
    from .networks.weights import NETWORKS

    if name in NETWORKS:
        raise EncoderError(f"encoder '{name}' is one of ace_slam_ros: choose another name")
    _registered[name] = load
    add_choice("encoder.name", name)


def load_encoder(config: EncoderConfig, device: str, *, describes: bool = True) -> Encoder:
    """Load an encoder and its codebook onto `device`.

    Args:
        config: which one, and how it runs.
        device: where, as torch names it.
        describes: whether it will describe images; else its words alone count, as for a mapper,
            and memory is spared.

    Raises:
        EncoderError: weights or codebook are missing, damaged, of another architecture, or not
            the ones with the hash asked for; or a library is missing.
    """
    device = Device(device)
    if config.name in _registered:
        return _registered[config.name](config, device)
    if config.name == SPEC.name and device.type == "cpu":
        encoder: Encoder = load_cell_encoder(config, describes)
    else:
        encoder = _load_network_encoder(config, device)
    if describes:
        log.debug("encoder %s: %s", encoder.name, encoder.runs_in)
    return encoder


def _load_network_encoder(config: EncoderConfig, device: Device) -> Encoder:
    from .networks.network import NetworkEncoder
    from .networks.weights import load_network

    network, blob = load_network(config)
    codebook, codebook_blob = read_codebook(config, network.spec.dimension)
    return NetworkEncoder(network, content_hash(blob, codebook_blob), codebook, device,
                          choose_precision(config.precision, device))
