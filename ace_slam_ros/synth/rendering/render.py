"""Renderer: exact visibility and depth of planar facets, textures by homography and mip-maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ...core.geometry.se3 import invert_pose
from .scene import MAX_CORNERS, Surface

if TYPE_CHECKING:
    from ...core.data.camera import Camera
    from ...core.geometry.arrays import Float32Array, Float64Array, UInt8Image

_TILE_M = 1.15
_MIP_STEP = 2.0**-0.5
Int16Array = npt.NDArray[np.int16]


class MipMap:
    """A texture at successively smaller sizes, each a half octave apart, made when needed."""

    def __init__(self, texture: UInt8Image) -> None:
        """Keep level 0, (H, W, 3) uint8."""
        self._chain = [np.ascontiguousarray(texture)]
        self._shrinks = 2 * np.log2(max(1.0, min(texture.shape[:2]) / 4))

    @property
    def last_level(self) -> int:
        """The coarsest level, at least about four texels wide."""
        return int(self._shrinks)

    def level(self, number: int) -> UInt8Image:
        """Return a level, 0 .. `last_level`."""
        height, width = self._chain[0].shape[:2]
        while len(self._chain) <= number:
            factor = _MIP_STEP ** len(self._chain)
            size = (max(2, round(width * factor)), max(2, round(height * factor)))
            source = self._chain[max(0, len(self._chain) - 2)]
            small = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
            self._chain.append(np.asarray(small, np.uint8))
        return self._chain[number]


@dataclass(frozen=True)
class Facets:
    """Surfaces cut into tiles and packed into arrays.

    Attributes:
        corners_NK3: (N, MAX_CORNERS, 3) polygon corners, the last one repeated as padding.
        frames_N33: (N, 3, 3) rows u, v, origin of each texture tile, meters.
        texels_per_m_N: texture resolution of mip level 0.
        mips: per facet its lit texture.
        part_N: moving part of each facet, -1 static.
        depth_loss_N: share of failing depth readings.
    """

    corners_NK3: Float64Array
    frames_N33: Float64Array
    texels_per_m_N: Float64Array
    mips: tuple[MipMap, ...]
    part_N: npt.NDArray[np.int64]
    depth_loss_N: Float32Array

    def __len__(self) -> int:
        return len(self.mips)

    def moved(self, T_world_part_P44: Float64Array) -> Facets:
        """Return the facets with part p placed by pose p (parts are built in their own frame)."""
        moving = np.flatnonzero(self.part_N >= 0)
        T_44 = T_world_part_P44[self.part_N[moving]]
        corners, frames = self.corners_NK3.copy(), self.frames_N33.copy()
        corners[moving] = np.einsum("nij,nkj->nki", T_44[:, :3, :3], corners[moving])
        corners[moving] += T_44[:, None, :3, 3]
        frames[moving] = np.einsum("nij,nkj->nki", T_44[:, :3, :3], frames[moving])
        frames[moving, 2] += T_44[:, :3, 3]
        return Facets(corners, frames, self.texels_per_m_N, self.mips, self.part_N,
                      self.depth_loss_N)


@dataclass(frozen=True)
class Visibility:
    """Which facet each pixel sees.

    Attributes:
        facet_HW: (H, W) int16 facet index, -1 where nothing is seen.
        inverse_depth_HW: (H, W) float32 1/m, 0 where nothing is seen.
        plane_N3: (N, 3) inverse depth of each facet = plane . (column, row, 1).
        offset_N: (N,) distance of the camera to each facet's plane, meters.
        extents_N4: (N, 4) first and past-the-last row and column that each facet may cover.
    """

    facet_HW: Int16Array
    inverse_depth_HW: Float32Array
    plane_N3: Float64Array
    offset_N: Float64Array
    extents_N4: npt.NDArray[np.int64]


def pack(surfaces: Sequence[Surface], textures: Sequence[UInt8Image]) -> Facets:
    """Cut surfaces into tiles of about a meter (one mip level each) and pack them."""
    corners: list[Float64Array] = []
    frames: list[Float64Array] = []
    density: list[float] = []
    mips: list[MipMap] = []
    parts: list[int] = []
    losses: list[float] = []
    for surface, texture in zip(surfaces, textures, strict=True):
        rows, columns = texture.shape[:2]
        scale_u, scale_v = columns / surface.size_m[0], rows / surface.size_m[1]
        whole = _is_rectangle(surface)
        tiles_u, tiles_v = (
            max(1, round(size / _TILE_M)) if whole else 1 for size in surface.size_m)
        cuts_u = np.linspace(0, columns, tiles_u + 1).round().astype(int)
        cuts_v = np.linspace(0, rows, tiles_v + 1).round().astype(int)
        for a0, a1 in zip(cuts_u[:-1], cuts_u[1:], strict=True):
            for b0, b1 in zip(cuts_v[:-1], cuts_v[1:], strict=True):
                outline = surface.outline_K2
                if tiles_u * tiles_v > 1:
                    outline = np.array([[a0, b0], [a0, b1], [a1, b1], [a1, b0]])
                    outline = outline / (scale_u, scale_v)
                polygon = (surface.origin_3 + outline[:, :1] * surface.u_3
                           + outline[:, 1:] * surface.v_3)
                padding = np.repeat(polygon[-1:], MAX_CORNERS - len(polygon), axis=0)
                corners.append(np.concatenate([polygon, padding]))
                origin = (surface.origin_3 + a0 / scale_u * surface.u_3
                          + b0 / scale_v * surface.v_3)
                # u and v stretched to texel units of `scale_u`, so that one number serves both.
                frames.append(np.stack([
                    surface.u_3, surface.v_3 * (scale_u / scale_v), origin]))
                density.append(scale_u)
                mips.append(MipMap(texture[b0:b1, a0:a1]))
                parts.append(surface.part)
                losses.append(surface.depth_loss)
    return Facets(np.stack(corners), np.stack(frames), np.array(density), tuple(mips),
                  np.array(parts, np.int64), np.array(losses, np.float32))


def _is_rectangle(surface: Surface) -> bool:
    width, height = surface.size_m
    on_u = np.isclose(surface.outline_K2[:, 0], 0) | np.isclose(surface.outline_K2[:, 0], width)
    on_v = np.isclose(surface.outline_K2[:, 1], 0) | np.isclose(surface.outline_K2[:, 1], height)
    return len(surface.outline_K2) == 4 and bool(np.all(on_u & on_v))


def rasterize(facets: Facets, T_world_cam_44: Float64Array, camera: Camera) -> Visibility:
    """Find the nearest facet of every pixel center, exactly.

    A pixel belongs to a convex polygon when it lies on the inner side of every plane through the
    camera and an edge, so each image row meets it in one interval; no clipping is needed.
    """
    T_cam_world = invert_pose(T_world_cam_44)
    points: Float64Array = facets.corners_NK3 @ T_cam_world[:3, :3].T
    points += T_cam_world[:3, 3]
    normal = np.cross(facets.frames_N33[:, 1], facets.frames_N33[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal = normal @ T_cam_world[:3, :3].T
    offset = -(normal * points[:, 0]).sum(1)
    K_inverse: Float64Array = np.linalg.inv(camera.K_33).astype(np.float64)
    plane = -(normal @ K_inverse) / np.where(offset > 1e-6, offset, 1.0)[:, None]
    seen = np.flatnonzero((offset > 1e-6) & _in_view(points, camera))
    low, high = _row_intervals(points[seen], K_inverse, camera)
    width, height = camera.width, camera.height
    facet_HW = np.full((height, width), -1, np.int16)
    inverse_HW = np.zeros((height, width), np.float32)
    extents = np.zeros((len(facets), 4), np.int64)
    rows_any = high > low
    columns = np.arange(width, dtype=np.int16)
    for k, index in enumerate(seen):
        rows = np.flatnonzero(rows_any[k])
        if len(rows) == 0:
            continue
        r0, r1 = int(rows[0]), int(rows[-1]) + 1
        lo, hi = low[k, r0:r1], high[k, r0:r1]
        c0, c1 = int(lo.min()), int(hi.max())
        extents[index] = r0, r1, c0, c1
        a, b, c = plane[index]
        across = (a * np.arange(c0, c1)).astype(np.float32)
        along = (b * np.arange(r0, r1) + c).astype(np.float32)
        inverse = along[:, None] + across
        block = inverse_HW[r0:r1, c0:c1]
        mask = inverse > block
        mask &= columns[c0:c1] >= lo[:, None]
        mask &= columns[c0:c1] < hi[:, None]
        np.copyto(block, inverse, where=mask)
        np.copyto(facet_HW[r0:r1, c0:c1], np.int16(index), where=mask)
    return Visibility(facet_HW, inverse_HW, plane, offset, extents)


def _in_view(points_NK3: Float64Array, camera: Camera) -> npt.NDArray[np.bool_]:
    """False (N,) for polygons that lie wholly outside one side of the view pyramid."""
    x, y, z = points_NK3[..., 0], points_NK3[..., 1], points_NK3[..., 2]
    left, right = -(camera.cx + 1) / camera.fx, (camera.width - camera.cx) / camera.fx
    top, bottom = -(camera.cy + 1) / camera.fy, (camera.height - camera.cy) / camera.fy
    outside = np.all(z < 1e-3, 1) | np.all(x < left * z, 1) | np.all(x > right * z, 1)
    outside |= np.all(y < top * z, 1) | np.all(y > bottom * z, 1)
    return np.asarray(~outside)


def _row_intervals(
    points_NK3: Float64Array, K_inverse_33: Float64Array, camera: Camera
) -> tuple[Int16Array, Int16Array]:
    """First and past-the-last covered column (N, H) of every polygon in every image row."""
    # Corners run counter-clockwise for the viewer and image rows run down: hence next x this.
    edges = np.asarray(np.cross(np.roll(points_NK3, -1, axis=1), points_NK3) @ K_inverse_33)
    norm = np.linalg.norm(edges, axis=2)
    rows = np.arange(camera.height, dtype=np.float64)
    low = np.zeros((len(points_NK3), camera.height))
    high = np.full((len(points_NK3), camera.height), float(camera.width))
    for k in range(edges.shape[1]):
        real = norm[:, k] > 1e-12  # padding repeats a corner: no edge
        a, b, c = np.where(real, edges[:, k].T / np.maximum(norm[:, k], 1e-12), 0.0)
        for side, select in ((low, a > 0), (high, a < 0)):
            n = np.flatnonzero(select)
            if len(n):
                crossing = np.ceil(-(b[n] / a[n])[:, None] * rows - (c[n] / a[n])[:, None])
                side[n] = (np.maximum if side is low else np.minimum)(side[n], crossing)
        for flat in np.flatnonzero(real & (a == 0)):
            high[flat, b[flat] * rows + c[flat] < 0] = 0
    return (np.clip(low, 0, camera.width).astype(np.int16),
            np.clip(high, 0, camera.width).astype(np.int16))


def shade(
    facets: Facets, visibility: Visibility, T_world_cam_44: Float64Array, camera: Camera
) -> UInt8Image:
    """Texture every visible pixel.

    Returns:
        (H, W, 3) uint8 RGB in the encoding of `lighting.bake`; black where nothing is seen.
    """
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    facet_HW = visibility.facet_HW
    counts = np.bincount(facet_HW.ravel().astype(np.int64) + 1, minlength=len(facets) + 1)[1:]
    visible = np.flatnonzero(counts)
    maps, levels = _texture_maps(facets, visibility, visible, T_world_cam_44, camera)
    for index, H_33, level in zip(visible, maps, levels, strict=True):
        r0, r1, c0, c1 = visibility.extents_N4[index]
        warped = cv2.warpPerspective(
            facets.mips[index].level(level), H_33, (int(c1 - c0), int(r1 - r0)),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        mask = (facet_HW[r0:r1, c0:c1] == index).view(np.uint8)
        cv2.copyTo(warped, mask, image[r0:r1, c0:c1])
    return image


def _texture_maps(
    facets: Facets, visibility: Visibility, visible_V: npt.NDArray[np.int64],
    T_world_cam_44: Float64Array, camera: Camera,
) -> tuple[Float64Array, npt.NDArray[np.int64]]:
    """Homographies (V, 3, 3) from pixels of a facet's extent to texels, and mip levels (V,).

    The level is the one whose texels are about as large as a pixel in the middle of the extent.
    """
    T_cam_world = invert_pose(T_world_cam_44)
    frames = facets.frames_N33[visible_V] @ T_cam_world[:3, :3].T
    frames[:, 2] += T_cam_world[:3, 3]
    texture_from_pixel = np.linalg.inv(camera.K_33 @ frames.transpose(0, 2, 1))
    texture_from_pixel[:, :2] *= facets.texels_per_m_N[visible_V, None, None]
    r0, r1, c0, c1 = visibility.extents_N4[visible_V].T
    middle = np.stack([(c0 + c1) / 2, (r0 + r1) / 2, np.ones(len(visible_V))], 1)
    q = np.einsum("nij,nj->ni", texture_from_pixel, middle)
    w = np.where(np.abs(q[:, 2]) > 1e-12, q[:, 2], 1e-12)
    jacobian = (texture_from_pixel[:, :2, :2]
                - (q[:, :2] / w[:, None])[:, :, None] * texture_from_pixel[:, 2:, :2])
    area = np.prod(np.linalg.norm(jacobian, axis=1), axis=1) / w**2
    wanted = np.round(np.log2(np.maximum(area, 1e-9)) - 0.4).astype(np.int64)
    last = np.array([facets.mips[index].last_level for index in visible_V], np.int64)
    levels = np.clip(wanted, 0, last)
    shift = np.tile(np.eye(3), (len(visible_V), 1, 1))
    shift[:, 0, 2], shift[:, 1, 2] = c0, r0
    to_texel = np.tile(np.eye(3), (len(visible_V), 1, 1))
    to_texel[:, :2, 2] = -0.5
    for k, (index, level) in enumerate(zip(visible_V, levels, strict=True)):
        full, small = (facets.mips[index].level(n).shape for n in (0, level))
        to_texel[k, 0, 0], to_texel[k, 1, 1] = small[1] / full[1], small[0] / full[0]
    return to_texel @ texture_from_pixel @ shift, levels
