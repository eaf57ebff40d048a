"""Baked light: soft direct light, sun through windows and ambient occlusion, per surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ...core.geometry.se3 import invert_pose
from .textures import generator, to_uint8

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float32Array, Float64Array, UInt8Image
    from .scene import Box, Surface

BoolArray = npt.NDArray[np.bool_]
#: Textures store (brightness * HEADROOM)^(1/GAMMA): lamps may exceed full white.
GAMMA, HEADROOM = 2.2, 0.6
_GRID_M = 0.09
_BLOCK = 2048
_OCCLUSION_REACH_M, _LAMP_REACH_M = 0.7, 6.0


@dataclass(frozen=True)
class Lamp:
    """A spherical light: position and radius in meters, linear RGB brightness at 1 m."""

    position: tuple[float, float, float]
    radius_m: float
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Sun:
    """Parallel light entering through one rectangular opening.

    Attributes:
        direction: unit vector from the scene towards the sun.
        opening: world corner, first edge and second edge of the window rectangle, meters.
        color: linear RGB irradiance.
    """

    direction: tuple[float, float, float]
    opening: tuple[
        tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]
    ]
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Lighting:
    """All light of a world: lamps, sun, ambient from above and below (linear RGB)."""

    lamps: tuple[Lamp, ...]
    sun: Sun | None
    ambient_up: tuple[float, float, float]
    ambient_down: tuple[float, float, float]


def bake(
    surfaces: Sequence[Surface], boxes: Sequence[Box], lighting: Lighting, seed: int
) -> list[UInt8Image]:
    """Multiply every albedo by its light.

    Returns:
        One (H, W, 3) uint8 lit texture per surface, encoded with `GAMMA` and `HEADROOM`.
    """
    grids = [_sample_points(s) for s in surfaces]
    lit = [k for k, s in enumerate(surfaces) if s.emission == 0.0]
    points = np.concatenate([grids[k].reshape(-1, 3) for k in lit])
    normals = np.concatenate([
        np.broadcast_to(surfaces[k].normal_3, (grids[k][..., 0].size, 3)) for k in lit
    ])
    light = _irradiance(points, normals, boxes, lighting, generator(seed, "light rays"))
    encoded = np.power(np.maximum(light * HEADROOM, 1e-4), 1 / GAMMA).astype(np.float32)
    out: list[UInt8Image] = []
    start = 0
    for surface, grid in zip(surfaces, grids, strict=True):
        height, width = surface.albedo.shape[:2]
        if surface.emission > 0:
            gain = (surface.emission * HEADROOM) ** (1 / GAMMA)
            out.append(to_uint8(surface.albedo.astype(np.float32) * np.float32(gain)))
            continue
        count = grid[..., 0].size
        shade = encoded[start : start + count].reshape(*grid.shape)
        start += count
        out.append(_multiply(surface.albedo, shade, width, height))
    return out


def _multiply(albedo: UInt8Image, shade: Float32Array, width: int, height: int) -> UInt8Image:
    """Interpolate the light grid (nodes at texture borders) over the texels and multiply."""
    rows, columns = shade.shape[:2]
    M = np.array([
        [(columns - 1) / width, 0, 0.5 * (columns - 1) / width],
        [0, (rows - 1) / height, 0.5 * (rows - 1) / height],
    ])
    full = cv2.warpAffine(shade, M, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.multiply(albedo, full, dtype=cv2.CV_8U), np.uint8)


def _sample_points(surface: Surface) -> Float64Array:
    """World points (rows, columns, 3) of the light grid, a hair in front of the surface."""
    width, height = surface.size_m
    columns, rows = (int(np.clip(np.ceil(s / _GRID_M), 1, 90)) + 1 for s in (width, height))
    inset = 0.004
    s = np.linspace(min(inset, width / 3), width - min(inset, width / 3), columns)
    t = np.linspace(min(inset, height / 3), height - min(inset, height / 3), rows)
    return (
        surface.origin_3 + 0.006 * surface.normal_3
        + s[None, :, None] * surface.u_3 + t[:, None, None] * surface.v_3
    )


def _irradiance(
    points_N3: Float64Array, normals_N3: Float64Array, boxes: Sequence[Box], lighting: Lighting,
    rng: np.random.Generator,
) -> Float64Array:
    up = 0.5 + 0.5 * normals_N3[:, 2:]
    ambient = up * np.asarray(lighting.ambient_up) + (1 - up) * np.asarray(lighting.ambient_down)
    light = ambient * _openness(points_N3, normals_N3, boxes, rng)[:, None]
    for lamp in lighting.lamps:
        color, samples = np.asarray(lamp.color), 5 if len(lighting.lamps) < 4 else 3
        for _ in range(samples):
            jitter = rng.normal(size=3)
            spot = np.asarray(lamp.position) + lamp.radius_m * jitter / np.linalg.norm(jitter)
            ray = spot - points_N3
            distance = np.maximum(np.linalg.norm(ray, axis=1), 0.15)
            cosine = np.maximum((ray * normals_N3).sum(1) / distance, 0)
            # Softer than the square law: part of the light has bounced before it arrives.
            weight = cosine / (0.4 + distance**1.7)
            weight *= np.maximum(1 - (distance / _LAMP_REACH_M) ** 2, 0) ** 2
            seen = weight > 1e-3
            weight[seen] *= ~_blocked(points_N3[seen], ray[seen], boxes, 0.96)
            light += weight[:, None] * color / samples
    if lighting.sun is not None:
        light += _sunlight(points_N3, normals_N3, boxes, lighting.sun)
    return np.asarray(light)


def _sunlight(
    points_N3: Float64Array, normals_N3: Float64Array, boxes: Sequence[Box], sun: Sun
) -> Float64Array:
    corner, edge_a, edge_b = (np.asarray(v, np.float64) for v in sun.opening)
    direction = np.asarray(sun.direction, np.float64)
    cosine = np.maximum(normals_N3 @ direction, 0)
    normal = np.cross(edge_a, edge_b)
    distance = ((corner - points_N3) @ normal) / (direction @ normal)
    offset = points_N3 + distance[:, None] * direction - corner
    inside = (distance > 0) & (cosine > 0)
    for edge in (edge_a, edge_b):
        share = offset @ edge / (edge @ edge)
        inside &= (share > 0) & (share < 1)
    ray = np.broadcast_to(direction, points_N3.shape) * np.maximum(distance, 0)[:, None]
    weight = np.zeros(len(points_N3))
    weight[inside] = cosine[inside] * ~_blocked(points_N3[inside], ray[inside], boxes, 0.999)
    return np.asarray(weight[:, None] * np.asarray(sun.color))


def _openness(
    points_N3: Float64Array, normals_N3: Float64Array, boxes: Sequence[Box],
    rng: np.random.Generator,
) -> Float64Array:
    """Share (N,) of the near hemisphere that is free of boxes (ambient occlusion)."""
    rays = 8
    directions = rng.normal(size=(rays, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    free = np.zeros(len(points_N3))
    for direction in directions:
        # The sum of a unit vector and the normal is cosine-distributed around the normal.
        ray = direction + normals_N3 * 1.02
        ray *= _OCCLUSION_REACH_M / np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-9)
        free += ~_blocked(points_N3, ray, boxes, 1.0)
    return np.asarray(0.25 + 0.75 * free / rays)


def _blocked(
    points_N3: Float64Array, rays_N3: Float64Array, boxes: Sequence[Box], reach: float
) -> BoolArray:
    """True (N,) where the segment from point to point + reach * ray meets a box.

    Slab test per axis of the box; points are handled in blocks that stay in the cache.
    """
    hit = np.zeros(len(points_N3), bool)
    points = np.ascontiguousarray(points_N3.T, np.float32)
    rays = np.ascontiguousarray(rays_N3.T, np.float32)
    if not boxes:
        return hit
    centers = np.stack([box.T_world_box_44[:3, 3] for box in boxes])
    halves = np.stack([box.half_3 for box in boxes]).astype(np.float32)
    sizes = np.linalg.norm(halves, axis=1)
    frames = np.stack([invert_pose(box.T_world_box_44) for box in boxes]).astype(np.float32)
    for start in range(0, len(hit), _BLOCK):
        block = slice(start, start + _BLOCK)
        p_3N, ray_3N = points[:, block], rays[:, block]
        center = 0.5 * (p_3N.min(1) + p_3N.max(1))
        radius = float(np.linalg.norm(np.ptp(p_3N, axis=1))) / 2
        radius += float(np.abs(ray_3N).max()) * 1.8 * reach
        gaps = np.linalg.norm(centers - center, axis=1) - sizes
        for k in np.flatnonzero(gaps < radius):
            hit[block] |= _meets(p_3N, ray_3N, frames[k], halves[k], reach)
    return hit


def _meets(
    p_3N: Float32Array, ray_3N: Float32Array, T_box_world_44: Float32Array, half_3: Float32Array,
    reach: float,
) -> BoolArray:
    near = np.full(p_3N.shape[1], 1e-3, np.float32)
    far = np.full(p_3N.shape[1], reach, np.float32)
    for axis, half in enumerate(half_3):
        row = T_box_world_44[axis]
        speed = row[:3] @ ray_3N
        speed[np.abs(speed) < 1e-7] = 1e-7
        middle = -(row[:3] @ p_3N + row[3]) / speed
        spread = np.abs(half / speed)
        np.maximum(near, middle - spread, out=near)
        np.minimum(far, middle + spread, out=far)
    return np.asarray(near < far)
