"""Segments of a map: parts of it whose place relative to each other is not known yet.

A tracker that is lost in an unknown place goes on in a new segment. Segment 0 is the map's own;
segment k lies around (k * SPACING_M, 0, 0), out of reach of all else. So everything that takes
nearness for having seen the same place (local map, loops, culling, experts) keeps segments apart
without knowing of them, and a pose tells by itself what it is worth. The mapper moves a segment
to where it belongs when it can prove where that is (`mapping/joins.py`).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from ..geometry.arrays import Float64Array
from .predictions import Predictions

#: Twice as far as a map reaches to any side; a head of that many meters still stores offsets of
#: its experts in steps of 3 mm.
SPACING_M = 200.0
#: Unjoined segments at most: every further one makes those steps coarser.
MOST_SEGMENTS = 4


def segment_of(T_map_cam: Float64Array) -> int:
    """Return the segment in which a pose (4, 4) is."""
    return int(segments_of(T_map_cam[None, :3, 3])[0])


def segments_of(points_map_N3: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return the segment of each map point (N, 3)."""
    return np.asarray(np.maximum(np.rint(points_map_N3[:, 0] / SPACING_M), 0.0), np.int64)


def free_segment(taken: Collection[int]) -> int | None:
    """Return the lowest number of a new segment, None when there are too many."""
    return next((n for n in range(1, MOST_SEGMENTS + 1) if n not in taken), None)


def first_pose(number: int, T_first: Float64Array) -> Float64Array:
    """Return the first camera pose (4, 4) of a segment, turned as `T_first`: that keeps z up."""
    T_map_cam = np.array(T_first)
    T_map_cam[:3, 3] += (number * SPACING_M, 0.0, 0.0)
    return T_map_cam


def only_segment(predictions: Predictions, number: int) -> Predictions:
    """Drop all hypotheses that lie in other segments."""
    coords_NS3 = predictions.coords_map_NS3
    own_NS = segments_of(coords_NS3.reshape(-1, 3)).reshape(coords_NS3.shape[:2]) == number
    sigma_m_NS = np.where(own_NS, predictions.sigma_m_NS, np.float32(np.inf))
    return Predictions(coords_NS3, sigma_m_NS)


def split(
    predictions: Predictions, own: int, others: Collection[int], everywhere: bool
) -> list[Predictions]:
    """Return hypotheses by segment, to be solved apart: no camera sees two of them at once.

    Args:
        predictions: of all segments.
        own: segment the camera is in.
        others: numbers of the unjoined segments there are.
        everywhere: the camera may be in any segment.
    """
    if not others and own == 0:
        return [predictions]
    return [only_segment(predictions, n) for n in ((0, *others) if everywhere else (own,))]


def explain(T_map_cam: Float64Array | None) -> str:
    """Say what a pose in an unjoined segment means; nothing of other poses."""
    number = 0 if T_map_cam is None else segment_of(T_map_cam)
    return "" if number == 0 else (
        f"segment {number}: place unknown, poses are relative to where it was found; it is "
        "joined to the map when a known place is seen")
