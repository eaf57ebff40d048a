"""Which library runs the convolutions of the shipped encoder on a CPU."""

from __future__ import annotations

import logging
import platform
from typing import TYPE_CHECKING

import torch

from ...errors import EncoderError
from .openvino_library import why_not
from .openvino_trunk import OpenVinoTrunk
from .trunk import TorchTrunk, Trunk

if TYPE_CHECKING:
    from ..tiny import EncoderNetwork

log = logging.getLogger(__name__)


def choose_trunk(network: EncoderNetwork, precision: torch.dtype, runtime: str) -> Trunk:
    """Return the layers as the parameter `encoder.runtime` (auto, torch, openvino) wants them.

    Raises:
        EncoderError: OpenVINO is asked for and does not run here.
    """
    if runtime == "torch" or runtime == "auto" and platform.machine() != "x86_64":
        return TorchTrunk(network, precision)
    problem = why_not()
    if not problem:
        return OpenVinoTrunk(network, precision)
    if runtime == "openvino":
        raise EncoderError(
            f"encoder.runtime=openvino, but {problem}: pip install 'ace-slam-ros[fast]', or set "
            "encoder.runtime to auto or torch")
    log.info("the encoder runs in torch: %s (pip install 'ace-slam-ros[fast]' makes it faster)",
             problem)
    return TorchTrunk(network, precision)
