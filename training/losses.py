"""InfoNCE over corresponding cells of two views: the encoder's training objective."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def apply_homography(H_b33: Tensor, points_bN2: Tensor) -> Tensor:
    """Map pixels (B, N, 2) by homographies (B, 3, 3)."""
    ones = torch.ones_like(points_bN2[..., :1])
    mapped = torch.cat([points_bN2, ones], dim=-1) @ H_b33.transpose(1, 2)
    return mapped[..., :2] / mapped[..., 2:].clamp(min=1e-6)


def correspondences(
    H_b_a: Tensor, H_base_a: Tensor, view: int, base: int, stride: int, count: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose cells of the first view and where they fall in the second.

    Returns:
        (pixels_a (B, N, 2), pixels_b (B, N, 2), valid (B, N)); pixel centres at integers.
    """
    batch = H_b_a.shape[0]
    margin = stride
    pixels_a = margin + torch.rand(
        batch, count, 2, generator=generator, device="cpu").to(H_b_a) * (view - 2 * margin)
    pixels_b = apply_homography(H_b_a, pixels_a)
    in_base = apply_homography(H_base_a, pixels_a)
    valid = ((pixels_b > margin) & (pixels_b < view - margin)).all(-1)
    valid &= ((in_base > 0) & (in_base < base - 1)).all(-1)
    return pixels_a, pixels_b, valid


def sample(descriptors_bDhw: Tensor, pixels_bN2: Tensor, view: int) -> Tensor:
    """Bilinear descriptors (B, N, D), unit norm, at pixels (B, N, 2) of views of side `view`."""
    grid = (pixels_bN2 + 0.5) / view * 2 - 1
    found = F.grid_sample(descriptors_bDhw, grid[:, :, None], align_corners=False,
                          padding_mode="border")
    return F.normalize(found[..., 0].transpose(1, 2), dim=-1)


def contrastive_loss(
    a_bND: Tensor, b_bND: Tensor, pixels_a: Tensor, pixels_b: Tensor, valid: Tensor,
    temperature: float, exclude_px: float,
) -> tuple[Tensor, Tensor]:
    """Symmetric InfoNCE; cells nearer than `exclude_px` to the true one are no negatives.

    Returns:
        (loss, top-1 accuracy against all cells of the batch).
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
    target = torch.arange(len(a), device=a.device)
    loss = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
    accuracy = (logits.argmax(1) == target).float().mean()
    return loss, accuracy
