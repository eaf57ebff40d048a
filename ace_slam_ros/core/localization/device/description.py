"""From an image and depth on the device to features there: cells with texture and depth.

Twin: `encoders.extraction`, dense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.depth.sampling import LEAST_OF_CELL, SLOPE_OF_CELL
from ...encoders.cell_choice import SCALE, WINDOW

if TYPE_CHECKING:
    from ...config.sections import SensorConfig
    from ...encoders.networks.network import NetworkEncoder


class Described(NamedTuple):
    """N places for features, of which the first ones are taken.

    Attributes:
        descriptors_ND: (N, D) float32, unit norm.
        pixels_N2: (N, 2) float32.
        points_N3: (N, 3) float32 camera-frame points in meters, zero where there is no feature.
        valid_N: (N,) bool, whether there is a feature.
    """

    descriptors_ND: Tensor
    pixels_N2: Tensor
    points_N3: Tensor
    valid_N: Tensor


def describe(
    gray_HW: Tensor, depth_HW: Tensor, camera_4: Tensor, encoder: NetworkEncoder, count: int,
    sensor: SensorConfig,
) -> Described:
    """Describe a frame.

    Args:
        gray_HW: (H, W) uint8, of even sides.
        depth_HW: (H, W) float32 meters, 0 or NaN where nothing is measured.
        camera_4: (4,) float64 fx, fy, cx, cy.
        encoder: on the same device.
        count: features at most.
        sensor: depth range and noise.
    """
    stride = encoder.stride
    depth_hw = cell_depth(depth_HW, stride, sensor)
    h, w = depth_hw.shape
    cells_N = choose_cells(texture(gray_HW, stride)[:h, :w], depth_hw, count)
    valid_N = cells_N < h * w
    cells_N = cells_N.clamp(max=h * w - 1)
    columns_N, rows_N = cells_N % w, torch.div(cells_N, w, rounding_mode="floor")
    pixels_N2 = torch.stack([columns_N, rows_N], dim=1) * stride + (stride - 1) / 2
    z_N = torch.where(valid_N, depth_hw.flatten()[cells_N], 0.0).double()
    rays_N2 = (pixels_N2 - camera_4[2:]) / camera_4[:2]
    points_N3 = torch.cat([rays_N2 * z_N[:, None], z_N[:, None]], dim=1).float()
    descriptors_ND = encoder.describe_tensor(gray_HW).flatten(0, 1)[cells_N]
    return Described(descriptors_ND, pixels_N2.float(), points_N3, valid_N)


def texture(gray_HW: Tensor, stride: int) -> Tensor:
    """Return (H // stride, W // stride) float32 texture of cells; twin: `cell_choice.texture`.

    Sums are whole numbers, in double precision exact.
    """
    gray = gray_HW.to(torch.int32)
    rows = gray[0::2] + gray[1::2]
    small = (rows[:, 0::2] + rows[:, 1::2] + 2) // 4
    x = F.pad(small.double()[None, None], (1,) * 4, mode="reflect")
    down = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    across = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    dx, dy = down[..., 2:] - down[..., :-2], across[:, :, 2:] - across[:, :, :-2]
    products = F.pad(torch.cat([dx * dx, dx * dy, dy * dy], dim=1), (WINDOW // 2,) * 4,
                     mode="reflect")
    sums = F.avg_pool2d(products, WINDOW, 1, divisor_override=1)[0].float()
    a, b, c = 0.5 * sums[0], sums[1], 0.5 * sums[2]
    least = (a + c) - torch.sqrt((a - c) * (a - c) + b * b)
    return F.max_pool2d(least[None, None], stride // 2)[0, 0].clamp(min=0) * float(SCALE)


def cell_depth(depth_HW: Tensor, stride: int, sensor: SensorConfig) -> Tensor:
    """Return (h, w) float32 depth of cells, NaN where unknown; twin: `cell_depth`."""
    first = stride // 2 - 2
    h, w = depth_HW.shape[0] // stride, depth_HW.shape[1] // stride
    cells = depth_HW[: h * stride, : w * stride].reshape(h, stride, w, stride)
    window = cells[:, first:first + 4, :, first:first + 4].permute(0, 2, 1, 3).flatten(2)
    good = (window >= sensor.min_depth_m) & (window <= sensor.max_depth_m)
    count = good.sum(dim=2)
    held = torch.where(good, window, 0.0)
    mean = held.sum(dim=2) / count.clamp(min=1)
    spread = SLOPE_OF_CELL * mean + 4 * sensor.depth_sigma_m(mean)
    low = torch.where(good, window, torch.inf).amin(dim=2)
    usable = (count >= LEAST_OF_CELL) & (held.amax(dim=2) - low <= spread)
    return torch.where(usable, mean, torch.nan)


def choose_cells(score_hw: Tensor, depth_hw: Tensor, count: int) -> Tensor:
    """Return (N,) flat indices of the cells with depth and most texture, ascending, then h w.

    N is `count` or the number of cells; of equal cells the first count.
    """
    cells = score_hw.numel()
    score = torch.where(depth_hw.isfinite(), score_hw, -1.0).flatten()
    best, index = torch.sort(score, descending=True, stable=True)
    return torch.where(best >= 0, index, cells)[: min(count, cells)].sort().values
