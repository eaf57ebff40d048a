"""Several heads that learn the same keyframes: each brings its hypotheses, geometry decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..data.predictions import Predictions
from ..data.submaps import MAIN_SUBMAP
from ..errors import MapError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..data.keyframe import Keyframe
    from ..data.submaps import SubmapMotion
    from ..geometry.arrays import Float32Array, Float64Array
    from .base import HeadLearner, SceneHead
    from .payload import Arrays

#: Between the types of the heads in the type of them together; arrays have `type/name`.
PLUS, _SLASH = "+", "/"


class CombinedHead:
    """Frozen heads that are asked together: what tracker and relocalizer use."""

    def __init__(self, parts: Mapping[str, SceneHead]) -> None:
        """Hold heads by their types, in the order of `head.type`."""
        self._parts = dict(parts)
        self.head_type = PLUS.join(self._parts)
        self.takes_submaps = all(part.takes_submaps for part in self._parts.values())

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return the hypotheses of all heads for each descriptor."""
        return joined([part.predict(descriptors_ND) for part in self._parts.values()])


class CombinedLearner:
    """Learners that are shown the same keyframes."""

    def __init__(self, parts: Mapping[str, HeadLearner]) -> None:
        """Hold learners by their types, in the order of `head.type`."""
        self._parts = dict(parts)
        self.head_type = PLUS.join(self._parts)

    @property
    def wants_work(self) -> bool:
        """Whether any of them has something to do."""
        return any(part.wants_work for part in self._parts.values())

    def observe(
        self, keyframe: Keyframe, T_map_cam: Float64Array, submap: int = MAIN_SUBMAP
    ) -> int:
        """Let all take a keyframe; returns the samples it gave the one that took most."""
        return max(p.observe(keyframe, T_map_cam, submap) for p in self._parts.values())

    def work(self, budget_s: float) -> bool:
        """Improve those that can be, in equal shares of the time."""
        able = [part for part in self._parts.values() if part.wants_work]
        return any([part.work(budget_s / len(able)) for part in able])

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Predict as the exported heads would."""
        return joined([part.predict(descriptors_ND) for part in self._parts.values()])

    def prune(self, keyframe: Keyframe, T_map_cam: Float64Array,
              kept_N: npt.NDArray[np.bool_]) -> None:
        """Unlearn features of a keyframe that proved to be wrong."""
        for part in self._parts.values():
            part.prune(keyframe, T_map_cam, kept_N)

    def retarget(self, poses: dict[int, Float64Array]) -> None:
        """Move keyframes within their submaps (id -> new T_map_cam)."""
        for part in self._parts.values():
            part.retarget(poses)

    def move_submap(
        self, number: int, motion: SubmapMotion, poses: dict[int, Float64Array]
    ) -> None:
        """Move all that was learned in a submap."""
        for part in self._parts.values():
            part.move_submap(number, motion, poses)

    def forget(self, identifier: int) -> None:
        """Stop holding a keyframe; what it taught so far stays."""
        for part in self._parts.values():
            part.forget(identifier)

    def export(self) -> Arrays:
        """Return the weights of all, named by type and name."""
        return {f"{kind}{_SLASH}{name}": array for kind, part in self._parts.items()
                for name, array in part.export().items()}

    def restore(self, arrays: Arrays) -> None:
        """Go on from exported weights.

        Raises:
            MapError: the weights do not fit one of the learners.
        """
        parts = split(arrays, tuple(self._parts))
        for kind, part in self._parts.items():
            part.restore(parts[kind])


def split(arrays: Arrays, kinds: tuple[str, ...]) -> dict[str, Arrays]:
    """Return the weights of each type of head.

    Raises:
        MapError: there are weights of none of these types.
    """
    found: dict[str, Arrays] = {kind: {} for kind in kinds}
    for whole, array in arrays.items():
        kind, _, name = whole.partition(_SLASH)
        if kind not in found:
            raise MapError(f"head weights '{whole}' are of no head of {PLUS.join(kinds)}: save "
                           "the map again")
        found[kind][name] = array
    return found


def joined(parts: list[Predictions]) -> Predictions:
    """Return the hypotheses of several heads for the same features, side by side."""
    submap_NS = None
    if any(p.submap_NS is not None for p in parts):
        submap_NS = np.concatenate([
            np.zeros(p.sigma_m_NS.shape, np.uint8) if p.submap_NS is None else p.submap_NS
            for p in parts], axis=1)
    return Predictions(np.concatenate([p.coords_map_NS3 for p in parts], axis=1),
                       np.concatenate([p.sigma_m_NS for p in parts], axis=1), submap_NS)
