"""Submaps: parts of a map whose place relative to each other is not known yet.

A tracker that is lost in an unknown place goes on in a new submap. Submap 0 is the map itself.
Every submap has a frame of its own, so that a pose, a keyframe, or a scene coordinate means
something only together with the number of its submap. The mapper moves a submap into another one
when it can prove where it belongs (`mapping/submap_joining.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .predictions import Predictions

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array
    from .poses import Pose

#: The map itself.
MAIN_SUBMAP = 0
#: Unjoined submaps at most: beyond, a lost camera waits for a known place.
MOST_SUBMAPS = 4


@dataclass(frozen=True)
class SubmapMotion:
    """How a correction moves what lies in a submap.

    Attributes:
        T_44: T_map_cam becomes T_44 @ T_map_cam.
        submap: in which it is afterwards; another one than before when submaps were joined.
    """

    T_44: Float64Array
    submap: int

    def apply(self, pose: Pose) -> Pose:
        """Return a pose of the submap as it is after the correction."""
        return replace(pose, T_map_cam=self.T_44 @ pose.T_map_cam, submap=self.submap)


#: Motions by the submap they move, as it was numbered before.
SubmapMotions = dict[int, SubmapMotion]


def corrected(pose: Pose, motions: SubmapMotions) -> Pose:
    """Return a pose as it is after a correction of some submaps."""
    motion = motions.get(pose.submap)
    return pose if motion is None else motion.apply(pose)


def free_submap(taken: Collection[int]) -> int | None:
    """Return the lowest number of a new submap, None when there are too many."""
    return next((n for n in range(1, MOST_SUBMAPS + 1) if n not in taken), None)


def only_submap(predictions: Predictions, number: int) -> Predictions:
    """Drop all hypotheses that lie in other submaps."""
    submap_NS = predictions.submap_NS
    if submap_NS is None:
        if number == MAIN_SUBMAP:
            return predictions
        nowhere_NS = np.full_like(predictions.sigma_m_NS, np.inf)
        return Predictions(predictions.coords_map_NS3, nowhere_NS)
    sigma_m_NS = np.where(submap_NS == number, predictions.sigma_m_NS, np.float32(np.inf))
    return Predictions(predictions.coords_map_NS3, sigma_m_NS)


def by_submap(
    predictions: Predictions, own: int, others: Collection[int], everywhere: bool
) -> dict[int, Predictions]:
    """Return hypotheses by submap, to be solved apart: no camera sees two of them at once.

    Args:
        predictions: of all submaps.
        own: submap the camera is in.
        others: numbers of the unjoined submaps there are.
        everywhere: the camera may be in any submap.
    """
    return {number: only_submap(predictions, number)
            for number in submaps_sought(own, others, everywhere)}


def submaps_sought(own: int, others: Collection[int], everywhere: bool) -> tuple[int, ...]:
    """Return in which submaps a camera may be, see `by_submap`."""
    return (MAIN_SUBMAP, *others) if everywhere else (own,)


def explain_submap(number: int) -> str:
    """Say what a pose in an unjoined submap means; nothing of one in the map itself."""
    return "" if number == MAIN_SUBMAP else (
        f"submap {number}: place unknown, poses are relative to where it was begun; it is "
        "joined to the map when a known place is seen")
