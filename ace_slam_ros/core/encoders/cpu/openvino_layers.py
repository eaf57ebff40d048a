"""The layers of the shipped encoder in OpenVINO: in half to two thirds of the time of torch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.device import threads
from ..shipped import DIMENSION
from .layers import Layers
from .openvino_graphs import Graphs
from .openvino_library import core, library

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array
    from ...runtime.precision import Precision
    from .merging import Weights

#: Compiled parts that are kept: of two image sizes and four numbers of cells. One takes 0.1 s to
#: compile and some 10 MB.
_KEPT = 8
#: Rows are filled up to a multiple of this, because each number of rows is compiled.
_ROWS = 400


class OpenVinoLayers(Layers):
    """Runs the layers in OpenVINO on the thread that calls; compiled for each size of image.

    Args:
        weights: of the encoder; they are copied.
        precision: what is computed in.
    """

    def __init__(self, weights: Weights, precision: Precision) -> None:
        version = library().__version__.split("-")[0]
        self.runtime = f"openvino {version}"
        self._graphs = Graphs(weights)
        self._precision = "bf16" if precision == "bf16" else "f32"
        self._requests: OrderedDict[tuple[str, tuple[int, ...]], Any] = OrderedDict()
        self._lock = threading.Lock()

    def fine(self, pixels: Float32Array, out: Float32Array) -> None:
        """See `Layers`."""
        self._run("fine", (out.shape[0] - 2, out.shape[1] - 2), [pixels], out)

    def middle(self, fine: Float32Array, out: Float32Array) -> None:
        """See `Layers`."""
        self._run("middle", (fine.shape[0] - 2, fine.shape[1] - 2), [fine], out)

    def rows(self, count: int) -> int:
        """See `Layers`."""
        return max(1, -(-count // _ROWS)) * _ROWS

    def merge(self, learned_MC: Float32Array, edges_ME: Float32Array) -> Float32Array:
        """See `Layers`."""
        rows = len(learned_MC)
        out = np.empty((rows, 1, DIMENSION), np.float32)
        self._run("merge", (rows,), [learned_MC[:, None], edges_ME[:, None]], out)
        return out[:, 0]

    def _run(self, part: str, size: tuple[int, ...], given: list[Float32Array], out: Float32Array
             ) -> None:
        tensor = library().Tensor
        with self._lock:
            request = self._request(part, size)
            for k, array in enumerate(given):
                request.set_input_tensor(k, tensor(array[None], shared_memory=True))
            request.set_output_tensor(tensor(out[None], shared_memory=True))
            request.infer()

    def _request(self, part: str, size: tuple[int, ...]) -> Any:
        """Return what runs a part for a size, compiled the first time."""
        key = part, size
        if key not in self._requests:
            self._requests[key] = core().compile_model(
                getattr(self._graphs, part)(*size), "CPU", {
                    "INFERENCE_PRECISION_HINT": self._precision,
                    "INFERENCE_NUM_THREADS": threads(), "NUM_STREAMS": 1,
                    "PERFORMANCE_HINT": "LATENCY",
                    "ENABLE_CPU_PINNING": False,  # others want that core as well
                }).create_infer_request()
            if len(self._requests) > _KEPT:
                self._requests.popitem(last=False)
        self._requests.move_to_end(key)
        return self._requests[key]
