"""The growing set of tokens: what keyframes showed at one place of a surface, and who must go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Array, Float64Array, Int8Array, Int64Array

#: Side of the cubes of space that share the tokens fairly, meters.
_CUBE_M = 0.5


class Tokens:
    """T tokens: mean key and mean map point of what keyframes showed at one place.

    Attributes:
        key_TK: (T, K) float32 sum of keys.
        origin_T3: (T, 3) float64 where the token was first seen, which keeps single precision
            fine enough for the rest.
        shift_T3: (T, 3) float32 weighted sum of map points, relative to the origin.
        weight_T: (T,) float32 sum of the weights of its points, 1 / m^2.
        count_T: (T,) int64 how many features it is the mean of.
        kept_shift_T3: (T, 3) float32 the part of `shift_T3` that forgotten keyframes taught;
            their poses are final.
        views_T: (T,) int64 keyframes that showed it.
        born_T: (T,) int64 number of the keyframe that showed it first.
        submap_T: (T,) uint8 submap that its map points are in.
    """

    key_TK: Float32Array
    origin_T3: Float64Array
    shift_T3: Float32Array
    weight_T: Float32Array
    count_T: Int64Array
    kept_shift_T3: Float32Array
    views_T: Int64Array
    born_T: Int64Array
    submap_T: npt.NDArray[np.uint8]

    def __init__(self, channels: int) -> None:
        """Hold no tokens yet, of keys of so many channels."""
        self._room: dict[str, npt.NDArray[np.generic]] = {
            "key_TK": np.zeros((0, channels), np.float32),
            "origin_T3": np.zeros((0, 3)), "shift_T3": np.zeros((0, 3), np.float32),
            "weight_T": np.zeros(0, np.float32), "count_T": np.zeros(0, np.int64),
            "kept_shift_T3": np.zeros((0, 3), np.float32), "views_T": np.zeros(0, np.int64),
            "born_T": np.zeros(0, np.int64), "submap_T": np.zeros(0, np.uint8)}
        self._use(0)

    def __len__(self) -> int:
        return len(self.origin_T3)

    def _use(self, count: int) -> None:
        """Let the fields show the first `count` rows of the room."""
        for name, room in self._room.items():
            setattr(self, name, room[:count])

    def add(self, origins_n3: Float64Array, born: int, submap: int) -> None:
        """Append tokens that know nothing yet; the room doubles when it is full."""
        old, new = len(self), len(self) + len(origins_n3)
        if new > len(self._room["count_T"]):
            for name, room in self._room.items():
                larger = np.zeros((max(new, 2 * old), *room.shape[1:]), room.dtype)
                larger[:old] = room[:old]
                self._room[name] = larger
        self._use(new)
        for name in self._room:
            getattr(self, name)[old:] = 0
        self.origin_T3[old:], self.born_T[old:], self.submap_T[old:] = origins_n3, born, submap

    def keep(self, chosen_n: Int64Array) -> None:
        """Keep only some tokens, in the order given."""
        self._room = {name: getattr(self, name)[chosen_n] for name in self._room}
        self._use(len(chosen_n))

    def move(self, own_n: Int64Array, T_44: Float64Array, submap: int) -> None:
        """Move tokens into a submap: origins move, what is relative to these only turns."""
        R_33 = T_44[:3, :3]
        self.submap_T[own_n] = submap
        self.origin_T3[own_n] = self.origin_T3[own_n] @ R_33.T + T_44[:3, 3]
        for relative in (self.shift_T3, self.kept_shift_T3):
            relative[own_n] = relative[own_n] @ R_33.T.astype(np.float32)

    def points(self) -> Float64Array:
        """Return the map points (T, 3), meters."""
        weight_T1 = np.maximum(self.weight_T, 1e-9)[:, None]
        return np.asarray(self.origin_T3 + self.shift_T3 / weight_T1)

    def sigma(self) -> Float32Array:
        """Return the standard deviation (T,) per axis of one of the points of each, meters.

        Their mean is not surer: errors of depth and of where in a cell a surface lies are alike.
        """
        weight_T = np.maximum(self.weight_T, 1e-9)
        return np.sqrt(np.maximum(self.count_T, 1) / weight_T).astype(np.float32)

    def rounded_keys(self) -> Int8Array:
        """Return the mean keys (T, K) in eight bits, to be scaled to unit norm."""
        largest_T1 = np.abs(self.key_TK).max(axis=1, keepdims=True, initial=1e-6)
        return np.asarray(np.rint(self.key_TK * (127.0 / largest_T1)), np.int8)

    def ranked(self) -> Int64Array:
        """Return all tokens, the most worth keeping first.

        Every cube of space keeps its best ones first, those that most keyframes confirmed; so a
        place seen in passing is not given up for one seen often.
        """
        cube_T4 = np.concatenate([
            self.submap_T[:, None], np.floor(self.origin_T3 / _CUBE_M)], axis=1).astype(np.int64)
        _, cube_T = np.unique(cube_T4, axis=0, return_inverse=True)
        order = np.lexsort((-self.views_T, cube_T.reshape(-1)))
        counts = np.bincount(cube_T.reshape(-1))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.asarray(order[np.argsort(rank, kind="stable")])


def unit(values_NK: npt.NDArray[Any]) -> Float32Array:
    """Return rows (N, K) of length one; rows of zeros stay."""
    norms = np.linalg.norm(values_NK.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(values_NK / np.maximum(norms, 1e-9), np.float32)


def first_of_places(
    x_n3: Float64Array, keys_nK: Float32Array, place_m: float, least_cosine: float
) -> tuple[Int64Array, Int64Array]:
    """Part points into places: cubes of space in which all look alike.

    Args:
        x_n3: points, meters.
        keys_nK: what they look like, unit norm.
        place_m: side of a cube.
        least_cosine: of what looks alike.

    Returns:
        (place (n,) of each point, the point (P,) that began each place).
    """
    cube_n3 = np.floor(x_n3 / place_m).astype(np.int64)
    _, cube_n = np.unique(cube_n3, axis=0, return_inverse=True)
    cube_n = cube_n.reshape(-1)
    place_n = np.full(len(x_n3), -1, np.int64)
    firsts: list[Int64Array] = []
    begun = 0
    open_n = np.arange(len(x_n3))
    while len(open_n):
        cubes, first, group = np.unique(cube_n[open_n], return_index=True, return_inverse=True)
        begins = open_n[first]
        cosine = np.einsum("nk,nk->n", keys_nK[open_n], keys_nK[begins[group]])
        alike = cosine > least_cosine
        alike[first] = True
        place_n[open_n[alike]] = begun + group[alike]
        begun += len(cubes)
        firsts.append(begins)
        open_n = open_n[~alike]
    return place_n, np.concatenate(firsts) if firsts else np.empty(0, np.int64)
