"""The convolutions of the shipped encoder in OpenVINO: a third of torch's time on one core."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .openvino_library import library
from .trunk import WIDTH, Trunk, convolutions

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array
    from ..tiny import EncoderNetwork

#: Image sizes whose compiled layers are kept; one takes 0.1 s to compile and some 20 MB.
_SIZES = 4


class OpenVinoTrunk(Trunk):
    """Runs the layers in OpenVINO on the thread that calls; compiled for each size of image.

    Args:
        network: loaded; its weights are copied.
        precision: torch.float32 or torch.bfloat16.
    """

    def __init__(self, network: EncoderNetwork, precision: torch.dtype) -> None:
        version = library().__version__.split("-")[0]
        self.runtime = f"openvino {version}"
        self._layers = _Layers(network)
        self._precision = "bf16" if precision == torch.bfloat16 else "f32"
        self._core = library().Core()
        self._compiled: OrderedDict[tuple[int, int], tuple[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def fine(self, pixels: Float32Array, out_hwC: Float32Array) -> None:
        """See `Trunk`."""
        self._run(0, out_hwC.shape, pixels, out_hwC)

    def middle(self, fine_hwC: Float32Array, out: Float32Array) -> None:
        """See `Trunk`."""
        self._run(1, fine_hwC.shape, fine_hwC, out)

    def _run(
        self, part: int, grid: tuple[int, ...], given: Float32Array, out: Float32Array
    ) -> None:
        tensor = library().Tensor
        with self._lock:
            request = self._requests(grid[0], grid[1])[part]
            request.set_input_tensor(tensor(given[None], shared_memory=True))
            request.set_output_tensor(tensor(out[None], shared_memory=True))
            request.infer()

    def _requests(self, h: int, w: int) -> tuple[Any, Any]:
        """Return one request for each part of the layers."""
        if (h, w) not in self._compiled:
            options = {
                "INFERENCE_PRECISION_HINT": self._precision, "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False,  # other threads and processes want the core as well
            }
            first, second = (
                self._core.compile_model(model, "CPU", options).create_infer_request()
                for model in self._layers.models(h, w))
            self._compiled[h, w] = first, second
            if len(self._compiled) > _SIZES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end((h, w))
        return self._compiled[h, w]


class _Layers:
    """`EncoderNetwork` as graphs of OpenVINO, built from its weights without a converter."""

    def __init__(self, network: EncoderNetwork) -> None:
        self._stem, self._fine = _rectified(network.stem), _rectified(network.fine)
        self._middle, self._coarse = _rectified(network.middle), _rectified(network.coarse)
        self._middle_out, = _rectified(network.middle_out)
        self._join_coarse = _Convolution(network.join_coarse, rectified=False)
        self._join_middle = _Convolution(network.join_middle, rectified=False)

    def models(self, h: int, w: int) -> tuple[Any, Any]:
        """Return (pixels to fine features, these to their context) for a grid of h x w cells."""
        pixels, x = _input(2 * h + 2, 2 * w + 2, self._stem[0].inputs)
        x = self._stem[0].apply(x, bordered=True)
        for layer in [*self._stem[1:], *self._fine]:
            x = layer.apply(x)
        first = _model(pixels, x)
        fine, x = _input(h, w, WIDTH)
        for layer in self._middle:
            x = layer.apply(x)
        middle = x
        for layer in self._coarse:
            x = layer.apply(x)
        x = _resized(self._join_coarse.apply(x), h // 2, w // 2)
        x = self._middle_out.apply(_ops().add(middle, x))
        return first, _model(fine, self._join_middle.apply(x))


class _Convolution:
    """One convolution with mirrored borders, its bias, and what comes after it."""

    def __init__(self, layer: nn.Conv2d, rectified: bool) -> None:
        self.inputs = layer.weight.shape[1]
        self._weights = _array(layer.weight)
        self._bias = None if layer.bias is None else _array(layer.bias.reshape(1, -1, 1, 1))
        self._stride, self._border = int(layer.stride[0]), layer.kernel_size[0] // 2
        self._rectified = rectified

    def apply(self, x: Any, bordered: bool = False) -> Any:
        """Add the layer to the graph behind `x` (NCHW), which may bring its borders."""
        ops, border, stride = _ops(), self._border, self._stride
        if border and not bordered:
            edge = [0, 0, border, border]
            x = ops.pad(x, edge, edge, "reflect")
        x = ops.convolution(x, ops.constant(self._weights), [stride, stride], [0, 0], [0, 0],
                            [1, 1])
        if self._bias is not None:
            x = ops.add(x, ops.constant(self._bias))
        return ops.relu(x) if self._rectified else x


def _rectified(blocks: nn.Module) -> list[_Convolution]:
    """Take the convolutions out of blocks whose normalization is folded."""
    return [_Convolution(layer, rectified=True) for layer in convolutions(blocks)]


def _array(tensor: torch.Tensor) -> Float32Array:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def _ops() -> Any:
    library()
    from openvino import opset13

    return opset13


def _input(h: int, w: int, channels: int) -> tuple[Any, Any]:
    """Return (input (1, h, w, C) float32, the same as NCHW)."""
    ops = _ops()
    given = ops.parameter([1, h, w, channels], np.float32)
    return given, ops.transpose(given, ops.constant(np.array([0, 3, 1, 2])))


def _model(given: Any, x: Any) -> Any:
    """Return the graph from an input to `x` (NCHW), which leaves it as (1, h, w, C) float32."""
    ops = _ops()
    last = ops.result(ops.transpose(x, ops.constant(np.array([0, 2, 3, 1]))))
    return library().Model([last], [given], "encoder")


def _resized(x: Any, h: int, w: int) -> Any:
    """Bilinear, as `upsample` does it."""
    ops = _ops()
    return ops.interpolate(
        x, ops.constant(np.array([h, w])), "linear_onnx", "sizes", [0], [0], "half_pixel",
        axes=ops.constant(np.array([2, 3])))
