"""Encoders that are torch networks: what a network offers, and how it runs on an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...runtime.steps import Steps, at_once
from ..base import Encoder, EncoderSpec, Keypoints, padded, padding

if TYPE_CHECKING:
    from ...geometry.arrays import UInt8Image
    from ...runtime.precision import Precision
    from ..codebook import Codebook

StateDict = dict[str, Tensor]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
Folded = TypeVar("Folded", bound=nn.Module)


class GridNetwork(nn.Module, ABC):
    """A network with a descriptor for every cell of a grid.

    Forward: images_b1HW float32 in [0, 255], H and W multiples of `spec.size_multiple` ->
    (B, D, H / stride, W / stride) float32 of unit norm over D. Input normalization is part of the
    network and done in single precision; the layers run in the precision of the weights.
    """

    spec: EncoderSpec
    #: Prefixes of published tensors that descriptors do not need.
    unused: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def for_weights(cls, state: StateDict) -> GridNetwork:
        """Return an untrained network of the size that the tensors have.

        Raises:
            EncoderError: no such size exists, or a library is missing.
        """

    def from_published(self, state: StateDict) -> StateDict:
        """Return published tensors under the names and shapes of this network."""
        return {k: v for k, v in state.items() if not k.startswith(self.unused)}

    def ready(self) -> GridNetwork:
        """Return the loaded network as it runs fastest with the same results."""
        return self.eval()

    def steps(self, images_b1HW: Tensor) -> Steps[Tensor]:
        """Compute `forward` with pauses between steps of about equal length."""
        yield from ()
        grid: Tensor = self(images_b1HW)
        return grid

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.parameters()).dtype


class DetectorNetwork(GridNetwork):
    """A network that also finds keypoints."""

    @abstractmethod
    def detect(self, images_b1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return (descriptors as `forward` gives them, (B, H, W) keypoint scores)."""


class NetworkEncoder(Encoder):
    """Runs a network on one image at a time.

    Args:
        network: loaded, ready to run.
        content_hash, codebook, device: see `Encoder`.
        precision: of the layers.
    """

    #: Keypoint scores below this are none; the published threshold of SuperPoint is 0.005.
    LEAST_SCORE = 0.005
    _SUPPRESSION_PX, _BORDER_PX = 4, 4

    def __init__(
        self, network: GridNetwork, content_hash: str, codebook: Codebook, device: str,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__(network.spec, content_hash, codebook, device)
        self._precision = precision
        self._network = network.to(  # type: ignore[call-overload]
            device=device, dtype=DTYPES[precision], memory_format=torch.channels_last)

    def describe(self, gray_HW: UInt8Image) -> Tensor:
        """Return (h, w, D) float32 unit-norm descriptors of a gray image, see `Encoder`."""
        return at_once(self.describe_in_steps(gray_HW))

    @torch.inference_mode()
    def describe_in_steps(self, gray_HW: UInt8Image) -> Steps[Tensor]:
        """Do as `describe`, with the pauses of the network."""
        grid = yield from self._network.steps(self._upload(gray_HW))
        return self._cut(grid, gray_HW)

    def describe_tensor(self, gray_HW: Tensor) -> Tensor:
        """Do as `describe` with a uint8 image on `device`, for a CUDA graph to record."""
        height, width = gray_HW.shape
        pad_y, pad_x = padding(height, width, self.spec.size_multiple)
        image = F.pad(gray_HW.float()[None, None], (0, pad_x, 0, pad_y), mode="replicate")
        grid: Tensor = at_once(self._network.steps(image))
        return grid[0].permute(1, 2, 0)[: height // self.stride, : width // self.stride]

    @property
    def runs_in(self) -> str:
        """Library, device and precision."""
        return f"torch {torch.__version__} on {self.device.type}, {self._precision}"

    @torch.inference_mode()
    def keypoints(self, gray_HW: UInt8Image) -> Keypoints | None:
        """Return detected points after suppression of neighbors within 4 pixels."""
        if not isinstance(self._network, DetectorNetwork):
            return None
        grid, scores = self._network.detect(self._upload(gray_HW))
        height, width = gray_HW.shape
        scores_HW = scores[0, :height, :width].float()
        reach = self._SUPPRESSION_PX
        largest = F.max_pool2d(scores_HW[None, None], 2 * reach + 1, 1, reach)[0, 0]
        peak = (scores_HW >= largest) & (scores_HW > self.LEAST_SCORE)
        b = self._BORDER_PX
        inner = torch.zeros_like(peak)
        inner[b:height - b, b:width - b] = True
        rows, columns = torch.nonzero(peak & inner, as_tuple=True)
        best = torch.argsort(scores_HW[rows, columns], descending=True, stable=True)
        pixels_N2 = torch.stack([columns[best], rows[best]], dim=1).float()
        descriptors = sample_grid(grid[0], pixels_N2, self.stride)
        return Keypoints(pixels_N2.cpu().numpy(), descriptors.cpu().numpy())

    def _upload(self, gray_HW: UInt8Image) -> Tensor:
        """Return (1, 1, H', W') float32 on the device of the padded image."""
        image = torch.from_numpy(padded(gray_HW, self.spec.size_multiple)).to(self.device)
        return image.to(torch.float32)[None, None]

    def _cut(self, grid_1Dhw: Tensor, gray_HW: UInt8Image) -> Tensor:
        height, width = gray_HW.shape
        return grid_1Dhw[0].permute(1, 2, 0)[: height // self.stride, : width // self.stride]


def sample_grid(grid_Dhw: Tensor, pixels_N2: Tensor, stride: int) -> Tensor:
    """Return (N, D) unit-norm descriptors between cells by bilinear interpolation."""
    h, w = grid_Dhw.shape[1:]
    size = torch.tensor([w, h], device=grid_Dhw.device)
    # grid_sample without aligned corners: -1 and 1 are the outer edges of the first and last cell
    where = (2 * (pixels_N2 + 0.5) / stride / size - 1)[None, None]
    found = F.grid_sample(grid_Dhw[None], where, padding_mode="border", align_corners=False)
    return F.normalize(found[0, :, 0].T, dim=1)


def normalize(images_b1HW: Tensor) -> Tensor:
    """Shift and scale each image to zero mean and unit variance."""
    mean = images_b1HW.mean(dim=(2, 3), keepdim=True)
    deviation = images_b1HW.std(dim=(2, 3), keepdim=True)
    return (images_b1HW - mean) / (deviation + 1.0)


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear resize of `x` to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def fold_normalization(network: Folded) -> Folded:
    """Fold every batch normalization into the convolution before it, in place, for inference."""
    network.eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential) or len(module) < 2:
            continue
        convolution, normalization = module[0], module[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(convolution, normalization)
            module[1] = nn.Identity()
    return network
