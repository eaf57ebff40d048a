"""The shipped encoder on a CPU, which imports torch only where torch computes something."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from ...errors import EncoderError
from ...runtime.device import CPU
from ...runtime.precision import choose_precision
from ...runtime.steps import Steps, at_once
from ..base import Encoder, padded
from ..shipped import SPEC
from ..weight_files import content_hash, read_codebook, read_weights, weights_path
from .cell_network import CellNetwork
from .runtimes import choose_layers

if TYPE_CHECKING:
    from torch import Tensor

    from ...config.sections import EncoderConfig
    from ...geometry.arrays import Float32Array, Int64Array, UInt8Image
    from ...runtime.precision import Precision
    from ..codebook import Codebook
    from ..networks.network import NetworkEncoder
    from .merging import Weights


def load_cell_encoder(config: EncoderConfig, describes: bool) -> CellEncoder:
    """Load the shipped encoder; for the other arguments and errors see `load_encoder`."""
    blob, _ = read_weights(config)
    codebook, codebook_blob = read_codebook(config, SPEC.dimension)
    precision = choose_precision(config.precision, CPU)
    cells = None
    if describes:
        cells = CellNetwork(choose_layers(_weights(config, blob), precision, config.runtime))
    return CellEncoder(content_hash(blob, codebook_blob), codebook, config, precision, cells)


class CellEncoder(Encoder):
    """Describes chosen cells of an image; all of them by the network in torch, when asked.

    Args:
        content_hash, codebook: see `Encoder`.
        config: to load the network.
        precision: of the layers.
        cells: describes cells; None = the network does.
    """

    def __init__(self, content_hash: str, codebook: Codebook, config: EncoderConfig,
                 precision: Precision, cells: CellNetwork | None) -> None:
        super().__init__(SPEC, content_hash, codebook, CPU)
        self._config, self._precision, self._cells = config, precision, cells

    @cached_property
    def whole(self) -> NetworkEncoder:
        """The same encoder as a network, which describes all cells."""
        from ..networks.network import NetworkEncoder
        from ..networks.weights import load_network

        return NetworkEncoder(
            load_network(self._config)[0], self.hash, self.codebook, CPU, self._precision)

    def describe(self, gray_HW: UInt8Image) -> Tensor:
        """Return (h, w, D) float32 unit-norm descriptors of a gray image, see `Encoder`."""
        return at_once(self.describe_in_steps(gray_HW))

    def describe_in_steps(self, gray_HW: UInt8Image) -> Steps[Tensor]:
        """Do as `describe`, with the pauses of the network."""
        return (yield from self.whole.describe_in_steps(gray_HW))

    def describe_cells_in_steps(
        self, gray_HW: UInt8Image, cells_N: Int64Array
    ) -> Steps[Float32Array]:
        """Do as `describe_cells`, with pauses, see `Encoder`."""
        if self._cells is None:
            return (yield from super().describe_cells_in_steps(gray_HW, cells_N))
        rows_N, columns_N = np.divmod(
            np.asarray(cells_N, np.int64), gray_HW.shape[1] // self.stride)
        return (yield from self._cells.steps(
            padded(gray_HW, self.spec.size_multiple), rows_N, columns_N))

    @property
    def runs_in(self) -> str:
        """Library, device and precision."""
        if self._cells is None:
            return "its words alone"
        return f"{self._cells.runtime} on cpu, {self._precision}"


def _weights(config: EncoderConfig, blob: bytes) -> Weights:
    """Return the arrays of the shipped weights, or those of others that fit its network."""
    if config.weights:
        from ..networks.weights import load_network

        state = load_network(config)[0].state_dict()
        return {name: tensor.numpy() for name, tensor in state.items()}
    try:
        return {name: np.asarray(a, np.float32) for name, a in load_safetensors(blob).items()}
    except SafetensorError as error:
        raise EncoderError(f"{weights_path(config)} does not hold weights: {error}; reinstall "
                           "the package") from error
