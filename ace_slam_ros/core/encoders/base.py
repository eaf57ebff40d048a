"""What an encoder is to the rest of the system: gray image in, unit-norm descriptors out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EncoderError
from ..runtime.device import Device
from ..runtime.steps import Steps, at_once

if TYPE_CHECKING:
    from torch import Tensor

    from ..geometry.arrays import Float32Array, Int64Array, UInt8Image
    from .codebook import Codebook

#: Features of a frame by default.
_USUAL_CELLS = 1200


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder declares of itself.

    Attributes:
        name: as the parameter `encoder.name` has it.
        stride: pixels per cell of the descriptor grid.
        dimension: descriptor width.
        receptive_field_px: side of the image window that a descriptor sees; None = whole image.
        size_multiple: image sides are padded to multiples of this.
        normalization: what is done to gray values before the first layer.
        license: of the published weights.
        restricted: whether that license forbids commercial use.

    Raises:
        EncoderError: the stride is odd or below four: texture and depth of a cell are taken from
            an even number of pixels around its center.
    """

    name: str
    stride: int
    dimension: int
    receptive_field_px: int | None
    size_multiple: int
    normalization: str
    license: str
    restricted: bool = False

    def __post_init__(self) -> None:
        if self.stride % 2 or self.stride < 4:
            raise EncoderError(
                f"encoder '{self.name}' has a stride of {self.stride} pixels: features need an "
                "even one of at least 4")


@dataclass(frozen=True)
class Keypoints:
    """Points an encoder chose itself, best first.

    Attributes:
        pixels_N2: (N, 2) float32 pixels.
        descriptors_ND: (N, D) float32 unit norm.
    """

    pixels_N2: Float32Array
    descriptors_ND: Float32Array


class Encoder(ABC):
    """A loaded encoder with the codebook that belongs to it.

    Attributes:
        spec: what it declares of itself.
        hash: first 16 hex digits of the SHA-256 over weights and codebook; maps record it.
        codebook: words and projection for the heads, the same for every scene.
        device: where the network lives.
    """

    def __init__(
        self, spec: EncoderSpec, content_hash: str, codebook: Codebook, device: str
    ) -> None:
        self.spec, self.hash, self.device = spec, content_hash, Device(device)
        self.codebook = codebook

    @property
    def name(self) -> str:
        """Which encoder."""
        return self.spec.name

    @property
    def stride(self) -> int:
        """Pixels per cell."""
        return self.spec.stride

    @property
    def dimension(self) -> int:
        """Descriptor width."""
        return self.spec.dimension

    @abstractmethod
    def describe(self, gray_HW: UInt8Image) -> Tensor:
        """Return (h, w, D) float32 unit-norm descriptors of a gray image, on `device`.

        h = H // stride, w = W // stride. Cell (i, j) describes the image around pixel
        (s j + (s - 1) / 2, s i + (s - 1) / 2) for a stride s.
        """

    def describe_in_steps(self, gray_HW: UInt8Image) -> Steps[Tensor]:
        """Do as `describe`, with pauses."""
        yield from ()
        return self.describe(gray_HW)

    def describe_cells(self, gray_HW: UInt8Image, cells_N: Int64Array) -> Float32Array:
        """Return (N, D) float32 unit-norm descriptors of some cells of a gray image.

        Args:
            gray_HW: as `describe` takes it.
            cells_N: flat indices into the grid (h, w) of `describe`, row by row.
        """
        return at_once(self.describe_cells_in_steps(gray_HW, cells_N))

    def describe_cells_in_steps(
        self, gray_HW: UInt8Image, cells_N: Int64Array
    ) -> Steps[Float32Array]:
        """Do as `describe_cells`, with pauses; here, pick from the descriptors of all cells."""
        grid_hwD = yield from self.describe_in_steps(gray_HW)
        chosen: Float32Array = grid_hwD.flatten(0, 1)[np.asarray(cells_N)].cpu().numpy()
        return chosen

    def keypoints(self, gray_HW: UInt8Image) -> Keypoints | None:
        """Return the points the encoder detects; None when it has no detector of its own."""
        return None

    def warm_up(self, width: int = 640, height: int = 480) -> None:
        """Run once so that the first frame does not pay for kernel selection."""
        cells = np.arange(min(_USUAL_CELLS, (height // self.stride) * (width // self.stride)))
        self.describe_cells(np.zeros((height, width), np.uint8), cells)

    @property
    def runs_in(self) -> str:
        """What computes the descriptors of cells, and in which precision; for people."""
        return f"its own way on {self.device.type}"


def padded(gray_HW: UInt8Image, multiple: int) -> UInt8Image:
    """Repeat the edges of an image as far as `padding` says."""
    height, width = gray_HW.shape
    pad_y, pad_x = padding(height, width, multiple)
    if pad_y or pad_x:
        gray_HW = np.pad(gray_HW, ((0, pad_y), (0, pad_x)), mode="edge")
    return np.require(gray_HW, np.uint8, ["C", "W"])


def padding(height: int, width: int, multiple: int) -> tuple[int, int]:
    """Return the rows and columns that are missing up to whole multiples of what a network takes.

    Two multiples at least: mirrored borders need a cell to mirror.
    """
    return (max(-height % multiple, 2 * multiple - height),
            max(-width % multiple, 2 * multiple - width))
