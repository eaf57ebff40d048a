"""The shipped encoder as graphs of OpenVINO, built from its weights without a converter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .merging import Merging, convolutions
from .openvino_library import library

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array
    from ..tiny import EncoderNetwork

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class Graphs:
    """Makes the parts of `Layers` for images of any size and any number of cells.

    What goes in has its border already and lies as OpenVINO reads it (channels last): it would
    otherwise be rearranged for the border and back again.

    Args:
        network: loaded, its normalization folded; its weights are copied.
    """

    def __init__(self, network: EncoderNetwork) -> None:
        self._stem, self._fine = _rectified(network.stem), _rectified(network.fine)
        self._middle, self._coarse = _rectified(network.middle), _rectified(network.coarse)
        self._middle_out, = _rectified(network.middle_out)
        self._join_coarse = _Convolution.of(network.join_coarse)
        self._join_middle = _Convolution.of(network.join_middle)
        m = Merging(network)
        self._widen, self._narrow = (
            _Convolution.pointwise(*m.widen, rectified=True), _Convolution.pointwise(*m.narrow))
        self._whiten = _Convolution.pointwise(*m.whiten)
        self._merge_learned = _Convolution.pointwise(*m.merge_learned)
        self._merge_edges = _Convolution.pointwise(m.merge_edges)

    def fine(self, h: int, w: int) -> Any:
        """Return `Layers.fine` for a grid of h x w cells."""
        pixels = _input(2 * h + 2, 2 * w + 2, self._stem[0].inputs)
        x = self._stem[0].apply(_transposed(pixels, _TO_NCHW), bordered=True)
        for layer in [*self._stem[1:], *self._fine]:
            x = layer.apply(x)
        return _model([pixels], _bordered(x, 1))

    def middle(self, h: int, w: int) -> Any:
        """Return `Layers.middle` for a grid of h x w cells."""
        fine = _input(h + 2, w + 2, self._middle[0].inputs)
        x = self._middle[0].apply(_transposed(fine, _TO_NCHW), bordered=True)
        for layer in self._middle[1:]:
            x = layer.apply(x)
        middle = x
        for layer in self._coarse:
            x = layer.apply(x)
        x = _ops().add(middle, _resized(self._join_coarse.apply(x), h // 2, w // 2))
        return _model([fine], self._join_middle.apply(self._middle_out.apply(x)))

    def merge(self, rows: int) -> Any:
        """Return `Layers.merge` for a number of rows, as convolutions of an image of that height.

        Matrix products of this size take OpenVINO three times as long.
        """
        learned, edges = (_input(rows, 1, one.inputs) for one in (self._widen, self._whiten))
        x = self._narrow.apply(self._widen.apply(_transposed(learned, _TO_NCHW)))
        e = self._whiten.apply(_transposed(edges, _TO_NCHW))
        return _model([learned, edges], _normalized(_ops().add(
            self._merge_learned.apply(_normalized(x)), self._merge_edges.apply(_normalized(e)))))


class _Convolution:
    """One convolution with mirrored borders, its bias, and what comes after it."""

    def __init__(self, weights: torch.Tensor, bias: torch.Tensor | None, stride: int = 1,
                 rectified: bool = False) -> None:
        self.inputs = weights.shape[1]
        self._weights = _array(weights)
        self._bias = None if bias is None else _array(bias.reshape(1, -1, 1, 1))
        self._stride, self._border, self._rectified = stride, weights.shape[2] // 2, rectified

    @classmethod
    def of(cls, layer: nn.Conv2d, rectified: bool = False) -> _Convolution:
        return cls(layer.weight, layer.bias, int(layer.stride[0]), rectified)

    @classmethod
    def pointwise(cls, weights: torch.Tensor, bias: torch.Tensor | None = None,
                  rectified: bool = False) -> _Convolution:
        """From weights (inputs, outputs)."""
        return cls(weights.T[:, :, None, None], bias, 1, rectified)

    def apply(self, x: Any, bordered: bool = False) -> Any:
        """Add the layer to the graph behind `x` (NCHW), which may bring its borders."""
        ops, stride = _ops(), self._stride
        if self._border and not bordered:
            x = _bordered(x, self._border)
        x = ops.convolution(x, ops.constant(self._weights), [stride, stride], [0, 0], [0, 0],
                            [1, 1])
        if self._bias is not None:
            x = ops.add(x, ops.constant(self._bias))
        return ops.relu(x) if self._rectified else x


def _rectified(blocks: nn.Module) -> list[_Convolution]:
    """Take the convolutions out of blocks whose normalization is folded."""
    return [_Convolution.of(layer, rectified=True) for layer in convolutions(blocks)]


def _array(tensor: torch.Tensor) -> Float32Array:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def _ops() -> Any:
    library()
    from openvino import opset13

    return opset13


def _input(h: int, w: int, channels: int) -> Any:
    """Return an input (1, h, w, C) float32."""
    return _ops().parameter([1, h, w, channels], np.float32)


def _model(given: list[Any], x: Any) -> Any:
    """Return the graph from inputs to `x` (NCHW), which leaves it as (1, h, w, C) float32."""
    return library().Model([_ops().result(_transposed(x, _TO_NHWC))], given, "encoder")


def _transposed(x: Any, order: list[int]) -> Any:
    return _ops().transpose(x, _ops().constant(np.array(order)))


def _bordered(x: Any, border: int) -> Any:
    """Mirror the borders of an image (NCHW)."""
    width = [0, 0, border, border]
    return _ops().pad(x, width, width, "reflect")


def _normalized(x: Any) -> Any:
    """Scale to unit norm over channels (NCHW), as `torch.nn.functional.normalize` does."""
    return _ops().normalize_l2(x, _ops().constant(np.array([1])), 1e-24, "max")


def _resized(x: Any, h: int, w: int) -> Any:
    """Bilinear, as `upsample` does it."""
    ops = _ops()
    return ops.interpolate(
        x, ops.constant(np.array([h, w])), "linear_onnx", "sizes", [0], [0], "half_pixel",
        axes=ops.constant(np.array([2, 3])))
