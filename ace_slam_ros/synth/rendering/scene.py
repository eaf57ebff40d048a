"""Scenes of textured planar facets and the builder that makes them from boxes, prisms and quads.

World frame: x, y horizontal, z up, meters. A facet is a convex planar polygon seen from one side
only; its corners run counter-clockwise seen from that side and lie in the frame (origin, u, v)
with u x v pointing *into* the surface (v runs down an image, as texture rows do).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...core.geometry.se3 import make_pose

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array, UInt8Image
    from .textures import Material

#: Corners per facet after padding; prism caps are the largest polygons.
MAX_CORNERS = 12


@dataclass(frozen=True)
class Surface:
    """A planar textured polygon.

    Attributes:
        origin_3: world position of the texture's top-left corner, meters.
        u_3, v_3: unit vectors along texture columns and rows.
        size_m: (width, height) of the texture in meters.
        outline_K2: convex outline in (u, v) meters, counter-clockwise seen from the front.
        albedo: (H, W, 3) uint8 RGB.
        emission: 0 = lit by the lights; otherwise its constant brightness.
        depth_loss: share of depth readings that fail (black plastic, glass).
        part: -1 static, otherwise the moving part that the surface belongs to.
    """

    origin_3: Float64Array
    u_3: Float64Array
    v_3: Float64Array
    size_m: tuple[float, float]
    outline_K2: Float64Array
    albedo: UInt8Image
    emission: float = 0.0
    depth_loss: float = 0.0
    part: int = -1

    @property
    def normal_3(self) -> Float64Array:
        """Unit normal towards the side from which the surface is seen."""
        return np.asarray(np.cross(self.v_3, self.u_3))


@dataclass(frozen=True)
class Box:
    """An oriented box that casts shadows and keeps cameras away: (4, 4) pose of its center."""

    T_world_box_44: Float64Array
    half_3: Float64Array


@dataclass(frozen=True)
class Scene:
    """Everything a world is made of.

    Attributes:
        surfaces: all surfaces, static ones and the parts of movers (in their own part frame).
        boxes: static solids.
    """

    surfaces: tuple[Surface, ...]
    boxes: tuple[Box, ...]


def rectangle(width_m: float, height_m: float) -> Float64Array:
    """Outline of a full texture rectangle, counter-clockwise seen from the front."""
    return np.array([[0, 0], [0, height_m], [width_m, height_m], [width_m, 0]], np.float64)


@dataclass
class Builder:
    """Collects surfaces and solids; `frame` nests local coordinate systems."""

    rng: np.random.Generator
    texel_m: float = 0.002
    surfaces: list[Surface] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    part: int = -1
    _T_44: Float64Array = field(default_factory=lambda: np.eye(4))

    def build(self) -> Scene:
        """Return what was collected."""
        return Scene(tuple(self.surfaces), tuple(self.boxes))

    @contextmanager
    def frame(self, x: float, y: float, z: float = 0.0, yaw_rad: float = 0.0) -> Iterator[None]:
        """Place what is built inside relative to (x, y, z), turned by `yaw_rad`."""
        outer = self._T_44
        self._T_44 = outer @ make_pose(_yaw(yaw_rad), np.array([x, y, z]))
        try:
            yield
        finally:
            self._T_44 = outer

    def quad(
        self, origin: Sequence[float], u: Sequence[float], v: Sequence[float], width_m: float,
        height_m: float, material: Material, texel_m: float | None = None, emission: float = 0.0,
        depth_loss: float = 0.0, outline_K2: Float64Array | None = None,
    ) -> None:
        """Add one rectangle (or convex outline) seen from the side of v x u."""
        texel = self.texel_m if texel_m is None else texel_m
        rows, columns = max(8, round(height_m / texel)), max(8, round(width_m / texel))
        albedo = np.ascontiguousarray(material(self.rng, rows, columns, texel))
        albedo.setflags(write=False)
        R_33, t_3 = self._T_44[:3, :3], self._T_44[:3, 3]
        outline = rectangle(width_m, height_m) if outline_K2 is None else outline_K2
        self.surfaces.append(Surface(
            R_33 @ np.asarray(origin, np.float64) + t_3, R_33 @ np.asarray(u, np.float64),
            R_33 @ np.asarray(v, np.float64), (width_m, height_m), outline, albedo, emission,
            depth_loss, self.part,
        ))

    def wall_panel(
        self, x: float, z: float, width_m: float, height_m: float, material: Material,
        y: float = 0.0, texel_m: float | None = None, emission: float = 0.0,
        depth_loss: float = 0.0,
    ) -> None:
        """Add an upright rectangle facing +y; (x, z) is its lower corner on the -x side."""
        self.quad((x + width_m, y, z + height_m), (-1, 0, 0), (0, 0, -1), width_m, height_m,
                  material, texel_m, emission, depth_loss)

    def solid(self, center: Sequence[float], size: Sequence[float]) -> None:
        """Register a box for shadows and clearance without drawing it."""
        T_44 = self._T_44 @ make_pose(np.eye(3), np.asarray(center, np.float64))
        self.boxes.append(Box(T_44, np.asarray(size, np.float64) / 2))

    def box(
        self, center: Sequence[float], size: Sequence[float], material: Material,
        faces: str = "frlbt", front: Material | None = None, top: Material | None = None,
        texel_m: float | None = None, emission: float = 0.0, depth_loss: float = 0.0,
        shadow: bool = True,
    ) -> None:
        """Add a box: faces f(ront, +y), b(ack), l(eft, -x), r(ight), t(op), u(nderside)."""
        (cx, cy, cz), (sx, sy, sz) = center, size
        x0, x1, y0, y1 = cx - sx / 2, cx + sx / 2, cy - sy / 2, cy + sy / 2
        z0, z1 = cz - sz / 2, cz + sz / 2
        down = (0, 0, -1)
        layout: dict[str, tuple[Sequence[float], Sequence[float], Sequence[float], float, float]]
        layout = {
            "f": ((x1, y1, z1), (-1, 0, 0), down, sx, sz),
            "b": ((x0, y0, z1), (1, 0, 0), down, sx, sz),
            "r": ((x1, y0, z1), (0, 1, 0), down, sy, sz),
            "l": ((x0, y1, z1), (0, -1, 0), down, sy, sz),
            "t": ((x1, y0, z1), (-1, 0, 0), (0, 1, 0), sx, sy),
            "u": ((x1, y1, z0), (-1, 0, 0), (0, -1, 0), sx, sy),
        }
        for face in faces:
            origin, u, v, wide, tall = layout[face]
            skin = {"f": front, "t": top}.get(face) or material
            self.quad(origin, u, v, wide, tall, skin, texel_m, emission, depth_loss)
        if shadow:
            self.solid(center, size)

    def prism(
        self, base: Sequence[float], radius_m: tuple[float, float], height_m: float, sides: int,
        material: Material, cap: Material | None = None, texel_m: float | None = None,
        emission: float = 0.0, squash: float = 1.0, shadow: bool = True,
    ) -> None:
        """Add an upright (tapered) prism: radius at bottom and top, y radii scaled by `squash`."""
        x, y, z = base
        angles = (np.arange(sides) + 0.5) * 2 * np.pi / sides
        ring = np.stack([np.cos(angles), squash * np.sin(angles)], 1)
        low = np.concatenate([ring * radius_m[0], np.zeros((sides, 1))], 1) + (x, y, z)
        high = np.concatenate([ring * radius_m[1], np.full((sides, 1), height_m)], 1) + (x, y, z)
        for k in range(sides):
            j = (k + 1) % sides
            self._side(low[k], low[j], high[j], high[k], material, texel_m, emission)
        if cap is not None:
            top = max(radius_m[1], 1e-3)
            outline = np.stack([top - ring[:, 0] * top, ring[:, 1] * top + top * squash], 1)
            self.quad((x + top, y - top * squash, z + height_m), (-1, 0, 0), (0, 1, 0), 2 * top,
                      2 * top * squash, cap, texel_m, emission, outline_K2=outline)
        if shadow:
            wide = 1.8 * max(radius_m)
            self.solid((x, y, z + height_m / 2), (wide, wide * squash, height_m))

    def _side(
        self, a: Float64Array, b: Float64Array, c: Float64Array, d: Float64Array,
        material: Material, texel_m: float | None, emission: float,
    ) -> None:
        """Add the planar trapezoid a, b (bottom), c, d (top), counter-clockwise from outside."""
        u = (b - a) / np.linalg.norm(b - a)
        rise = (d + c) / 2 - (a + b) / 2
        v = -(rise - u * (rise @ u))
        height = float(np.linalg.norm(v))
        v /= height
        points = np.stack([a, b, c, d])
        offsets = np.stack([(points - a) @ u, (points - d) @ v], 1)
        low_2 = offsets.min(0)
        origin = a + u * low_2[0] + v * ((d - a) @ v + low_2[1])
        outline = offsets - low_2
        width = float(outline[:, 0].max())
        self.quad(list(origin), list(u), list(v), width, height, material, texel_m, emission,
                  outline_K2=outline)


def _yaw(angle_rad: float) -> Float64Array:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float64)
