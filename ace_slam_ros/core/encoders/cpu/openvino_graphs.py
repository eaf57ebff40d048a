"""The shipped encoder as graphs of OpenVINO, built from its weights without a converter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..shipped import HALVING
from .merging import Merging
from .openvino_library import library

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array
    from .merging import Weights

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class Graphs:
    """Makes the parts of `Layers` for images of any size and any number of cells.

    What goes in has its border already and lies as OpenVINO reads it (channels last): it would
    otherwise be rearranged for the border and back again.

    Args:
        weights: of the encoder; they are copied.
    """

    def __init__(self, weights: Weights) -> None:
        self._stem, self._fine, self._middle, self._coarse = (
            [_Convolution.rectified(weights, name) for name in names] for names in (
                ("stem.1", "stem.2"), ("fine.0", "fine.1"), ("middle.0", "middle.1"),
                ("coarse.0", "coarse.1")))
        self._middle_out = _Convolution.rectified(weights, "middle_out")
        self._join_coarse, self._join_middle = (
            _Convolution(weights[f"{name}.weight"], weights[f"{name}.bias"])
            for name in ("join_coarse", "join_middle"))
        m = Merging(weights)
        self._widen, self._narrow = (
            _Convolution.pointwise(*m.widen, relu=True), _Convolution.pointwise(*m.narrow))
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

    def __init__(self, weights: Float32Array, bias: Float32Array | None, stride: int = 1,
                 relu: bool = False) -> None:
        self.inputs = weights.shape[1]
        self._weights = np.ascontiguousarray(weights, np.float32)
        self._bias = None if bias is None else bias.reshape(1, -1, 1, 1)
        self._stride, self._border, self._relu = stride, weights.shape[2] // 2, relu

    @classmethod
    def rectified(cls, weights: Weights, name: str) -> _Convolution:
        """The convolution of a block, whose normalization is folded, and a ReLU."""
        return cls(weights[f"{name}.0.weight"], weights[f"{name}.0.bias"],
                   2 if name in HALVING else 1, relu=True)

    @classmethod
    def pointwise(cls, weights: Float32Array, bias: Float32Array | None = None,
                  relu: bool = False) -> _Convolution:
        """From weights (inputs, outputs)."""
        return cls(weights.T[:, :, None, None], bias, 1, relu)

    def apply(self, x: Any, bordered: bool = False) -> Any:
        """Add the layer to the graph behind `x` (NCHW), which may bring its borders."""
        ops, stride = _ops(), self._stride
        if self._border and not bordered:
            x = _bordered(x, self._border)
        x = ops.convolution(x, ops.constant(self._weights), [stride, stride], [0, 0], [0, 0],
                            [1, 1])
        if self._bias is not None:
            x = ops.add(x, ops.constant(self._bias))
        return ops.relu(x) if self._relu else x


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
