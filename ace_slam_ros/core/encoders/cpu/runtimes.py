"""Which library runs the layers of the shipped encoder on a CPU."""

from __future__ import annotations

import logging
import platform
from typing import TYPE_CHECKING

from ...errors import EncoderError
from .openvino_layers import OpenVinoLayers
from .openvino_library import why_not

if TYPE_CHECKING:
    from ...runtime.precision import Precision
    from .layers import Layers
    from .merging import Weights

log = logging.getLogger(__name__)


def choose_layers(weights: Weights, precision: Precision, runtime: str) -> Layers:
    """Return the layers as the parameter `encoder.runtime` (auto, torch, openvino) wants them.

    Raises:
        EncoderError: OpenVINO is asked for and does not run here.
    """
    if runtime == "torch" or runtime == "auto" and platform.machine() != "x86_64":
        return _in_torch(weights, precision)
    problem = why_not()
    if not problem:
        return OpenVinoLayers(weights, precision)
    if runtime == "openvino":
        raise EncoderError(
            f"encoder.runtime=openvino, but {problem}: pip install openvino, or set "
            "encoder.runtime to auto or torch")
    log.info("the encoder runs in torch: %s (pip install openvino makes it faster)", problem)
    return _in_torch(weights, precision)


def _in_torch(weights: Weights, precision: Precision) -> Layers:
    from .torch_layers import TorchLayers

    return TorchLayers(weights, precision)
