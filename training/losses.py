"""InfoNCE over corresponding cells of two views: the encoder's training objective."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(descriptors_bDhw: Tensor, pixels_bN2: Tensor, view: int) -> Tensor:
    """Bilinear descriptors (B, N, D), unit norm, at pixels (B, N, 2) of views of side `view`."""
    grid = (pixels_bN2 + 0.5) / view * 2 - 1
    found = F.grid_sample(descriptors_bDhw, grid[:, :, None], align_corners=False,
                          padding_mode="border")
    return F.normalize(found[..., 0].transpose(1, 2), dim=-1)


def contrastive_loss(
    a_bND: Tensor, b_bND: Tensor, pixels_a: Tensor, pixels_b: Tensor, valid: Tensor,
    temperature: float, exclude_px: float, cells: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Symmetric InfoNCE; cells nearer than `exclude_px` to the true one are no negatives.

    Args:
        a_bND, b_bND: (B, N, D) unit-norm descriptors of corresponding pixels.
        pixels_a, pixels_b: (B, N, 2) where they are.
        valid: (B, N) bool, correspondences that count.
        temperature: of the softmax.
        exclude_px: radius around the true place that holds no negatives.
        cells: (B, D, h, w) descriptor maps of both views, whose cells are more negatives.

    Returns:
        (loss, top-1 accuracy against everything compared with).
    """
    batch, count, _ = a_bND.shape
    a, b = a_bND[valid], b_bND[valid]
    image = torch.arange(batch, device=a.device)[:, None].expand(batch, count)[valid]
    logits = a @ b.T / temperature
    same = image[:, None] == image[None]
    near_b = torch.cdist(pixels_b[valid], pixels_b[valid]) < exclude_px
    near_a = torch.cdist(pixels_a[valid], pixels_a[valid]) < exclude_px
    ignore = same & (near_a | near_b)
    ignore.fill_diagonal_(False)
    logits = logits.masked_fill(ignore, float("-inf"))
    forward, backward = logits, logits.T
    if cells is not None:
        in_b = against_cells(a_bND, cells[1], pixels_b, exclude_px)[valid] / temperature
        in_a = against_cells(b_bND, cells[0], pixels_a, exclude_px)[valid] / temperature
        forward, backward = torch.cat([forward, in_b], 1), torch.cat([backward, in_a], 1)
    target = torch.arange(len(a), device=a.device)
    loss = 0.5 * (F.cross_entropy(forward, target) + F.cross_entropy(backward, target))
    accuracy = (forward.argmax(1) == target).float().mean()
    return loss, accuracy


def against_cells(
    queries_bND: Tensor, map_bDhw: Tensor, true_bN2: Tensor, exclude_px: float
) -> Tensor:
    """Return (B, N, h * w) similarity to every cell of a view, -inf around the true pixel."""
    h, w = map_bDhw.shape[2:]
    stride = 8.0
    ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    centers = torch.stack([xs, ys], -1).reshape(-1, 2).to(queries_bND) * stride + (stride - 1) / 2
    similarity = queries_bND @ map_bDhw.flatten(2)
    near = torch.cdist(true_bN2, centers.expand(len(true_bN2), -1, -1)) < exclude_px
    return similarity.masked_fill(near, float("-inf"))
