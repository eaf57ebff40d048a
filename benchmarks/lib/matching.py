"""Does a cell find its place in another image? Nearest neighbors scored with depth and poses.

A cell counts as found when its nearest neighbor among all cells with depth of the other image
lies within 5 cm of the true 3-D point. No head and no solver is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.depth.sampling import cell_depth
from ace_slam_ros.core.geometry.arrays import Float64Array, UInt8Image
from ace_slam_ros.core.geometry.se3 import invert_pose, pose_error, transform_points

from .known_poses import NEAR_M, PosedFrame

#: Bins of the baseline between two views: distance in meters, angle in degrees.
DISTANCE_EDGES_M = (0.0, 0.25, 0.5, 1.0, 2.0)
ANGLE_EDGES_DEG = (0.0, 15.0, 30.0, 45.0)
LEAST_PAIRS, LEAST_CELLS = 5, 100

Describe = Callable[[UInt8Image], Tensor]


@dataclass(frozen=True)
class Contender:
    """Describes cells of `stride` pixels: gray image -> (h, w, D) grid of unit norm."""

    name: str
    describe: Describe
    stride: int = 8


@dataclass(frozen=True)
class _Cells:
    """The cells of one image that have depth."""

    rows_N: npt.NDArray[np.int64]
    columns_N: npt.NDArray[np.int64]
    points_map_N3: Float64Array
    depth_hw: npt.NDArray[np.float32]


def bin_name(distance_m: float, angle_deg: float) -> str | None:
    """Return the bin of a baseline, None when it is larger than all bins."""
    for low, high in pairwise(DISTANCE_EDGES_M):
        for low_deg, high_deg in pairwise(ANGLE_EDGES_DEG):
            if low <= distance_m < high and low_deg <= angle_deg < high_deg:
                return f"{low:.2f}-{high:.2f} m, {low_deg:.0f}-{high_deg:.0f} deg"
    return None


def choose_pairs(
    first: Sequence[Float64Array], second: Sequence[Float64Array] | None, per_bin: int, seed: int
) -> dict[str, list[tuple[int, int]]]:
    """Return at most `per_bin` index pairs of each bin, drawn by seed.

    Args:
        first: camera poses (4, 4).
        second: poses of other images of the same place; None pairs the first with each other.
        per_bin: pairs drawn of a bin.
        seed: of the draw.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    others = first if second is None else second
    for i, T_a in enumerate(first):
        for j in range(i + 1 if second is None else 0, len(others)):
            distance_m, angle_rad = pose_error(T_a, others[j])
            name = bin_name(distance_m, float(np.degrees(angle_rad)))
            if name is not None:
                found.setdefault(name, []).append((i, j))
    rng = np.random.default_rng(seed)
    return {name: [found[name][k] for k in rng.permutation(len(found[name]))[:per_bin]]
            for name in sorted(found)}


def matching_accuracy(
    contender: Contender, first: Sequence[PosedFrame], second: Sequence[PosedFrame] | None,
    pairs: dict[str, list[tuple[int, int]]], sensor: SensorConfig,
) -> dict[str, list[float]]:
    """Return the share of cells found, of every pair that shows enough of the same, by bin."""
    def prepare(
        views: Sequence[PosedFrame], wanted: set[int]
    ) -> tuple[dict[int, Tensor], dict[int, _Cells]]:
        grids = {i: contender.describe(views[i].frame.gray).cpu() for i in sorted(wanted)}
        return grids, {i: _cells(views[i], grids[i], contender.stride, sensor) for i in grids}

    used = [p for chosen in pairs.values() for p in chosen]
    if second is None:
        others = first
        grids_a, cells_a = grids_b, cells_b = prepare(first, {i for pair in used for i in pair})
    else:
        others = second
        grids_a, cells_a = prepare(first, {i for i, _ in used})
        grids_b, cells_b = prepare(second, {j for _, j in used})
    scores: dict[str, list[float]] = {}
    for name, chosen in pairs.items():
        found = [share_found(grids_a[i], cells_a[i], grids_b[j], cells_b[j], others[j],
                             contender.stride) for i, j in chosen]
        scores[name] = [s for s in found if s is not None]
    return scores


def _cells(view: PosedFrame, grid_hwD: Tensor, stride: int, sensor: SensorConfig) -> _Cells:
    assert view.frame.depth_m is not None
    h, w = grid_hwD.shape[:2]
    depth_hw = cell_depth(view.frame.depth_m, stride, sensor)[:h, :w]
    rows, columns = np.nonzero(np.isfinite(depth_hw))
    pixels = np.stack([columns, rows], axis=1) * stride + (stride - 1) / 2
    points = view.frame.camera.unproject(pixels, depth_hw[rows, columns].astype(np.float64))
    return _Cells(rows, columns, transform_points(view.T_map_cam, points), depth_hw)


def share_found(
    grid_a: Tensor, a: _Cells, grid_b: Tensor, b: _Cells, view_b: PosedFrame, stride: int
) -> float | None:
    """Share of the cells of a, visible in b, that find their place; None when few are visible."""
    points = transform_points(invert_pose(view_b.T_map_cam), a.points_map_N3)
    ahead = points[:, 2] > 0.1
    pixels = view_b.frame.camera.project(np.where(ahead[:, None], points, 1.0))
    column, row = np.rint((pixels - (stride - 1) / 2) / stride).astype(int).T
    h, w = b.depth_hw.shape
    inside = ahead & (row >= 0) & (row < h) & (column >= 0) & (column < w)
    measured = b.depth_hw[row.clip(0, h - 1), column.clip(0, w - 1)]
    visible = inside & (np.abs(measured - points[:, 2]) < 0.05 + 0.02 * points[:, 2])
    if visible.sum() < LEAST_CELLS or len(b.rows_N) == 0:
        return None
    queries = grid_a[a.rows_N[visible], a.columns_N[visible]]
    best = (queries @ grid_b[b.rows_N, b.columns_N].T).argmax(dim=1).numpy()
    error = np.linalg.norm(b.points_map_N3[best] - a.points_map_N3[visible], axis=1)
    return float(np.mean(error < NEAR_M))


def summarize(scores: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float | int]]:
    """Turn {contender: {bin: shares}} into {bin: {pairs, contender: mean}} without thin bins."""
    table: dict[str, dict[str, float | int]] = {}
    for name in next(iter(scores.values()), {}):
        pairs = min(len(by_bin[name]) for by_bin in scores.values())
        if pairs >= LEAST_PAIRS:
            table[name] = {"pairs": pairs, **{
                who: float(np.mean(by_bin[name])) for who, by_bin in scores.items()}}
    return table


def worst_margin(
    table: dict[str, dict[str, float | int]], ours: str, other: str
) -> tuple[float | None, str]:
    """Return the smallest lead of `ours` over all bins and where it is; None without bins."""
    leads = {name: row[ours] - row[other] for name, row in table.items()
             if ours in row and other in row}
    if not leads:
        return None, ""
    worst = min(leads, key=lambda name: leads[name])
    return float(leads[worst]), worst


def sift_cells(gray_HW: UInt8Image, stride: int = 8, size_px: float = 16.0) -> Tensor:
    """RootSIFT at cell centers, of fixed orientation and size: (h, w, 128)."""
    points, h, w = _cell_keypoints(gray_HW, stride, size_px)
    _, found = cv2.SIFT_create().compute(gray_HW, points)
    root = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6))
    return torch.from_numpy(root.reshape(h, w, -1).astype(np.float32))


def orb_cells(gray_HW: UInt8Image, stride: int = 8, size_px: float = 31.0) -> Tensor:
    """ORB at cell centers as +-1/16: products order like Hamming distances; (h, w, 256).

    Cells whose patch leaves the image have no descriptor: zero.
    """
    points, h, w = _cell_keypoints(gray_HW, stride, size_px)
    kept, found = cv2.ORB_create(edgeThreshold=0).compute(gray_HW, points)
    grid = np.zeros((h, w, 256), np.float32)
    where = np.array([p.pt for p in kept])
    column, row = np.rint((where - (stride - 1) / 2) / stride).astype(int).T
    grid[row, column] = (np.unpackbits(found, axis=1).astype(np.float32) * 2 - 1) / 16
    return torch.from_numpy(grid)


def _cell_keypoints(
    gray_HW: UInt8Image, stride: int, size_px: float
) -> tuple[list[cv2.KeyPoint], int, int]:
    h, w = gray_HW.shape[0] // stride, gray_HW.shape[1] // stride
    center = (stride - 1) / 2
    return [cv2.KeyPoint(x * stride + center, y * stride + center, size_px, 0)
            for y in range(h) for x in range(w)], h, w
