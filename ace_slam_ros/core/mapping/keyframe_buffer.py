"""The keyframes the mapper holds: bounded, and culled so that what they cover stays covered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.poses import SubmapPose
from ..data.submaps import MOST_SUBMAPS
from ..geometry.se3 import transform_points

if TYPE_CHECKING:
    from ..data.keyframe import Keyframe
    from ..geometry.arrays import Float64Array

#: Edge of a cell of space. Smaller than furniture, larger than what poses and depth are wrong by.
_CELL_M = 0.25
_CELL_RANGE = 1 << 19
#: Corrections that a tracker may be behind; it takes the newest weights with every frame.
_EARLIER_POSES = 16


class KeyframeBuffer:
    """Keyframes with their present poses, oldest first.

    Memory: a keyframe of 1,200 features takes 100 kB here and 50 kB in an affine learner, so that
    the default of 400 keyframes takes 60 MB.

    Culling: a cell is a cube of space seen from one of eight directions. Beyond the capacity the
    keyframe goes that covers the fewest cells that no other one covers, among equals the one
    whose cells are covered most often, then the oldest. The newest are never chosen: the tracker
    is there.

    Attributes:
        revision: how often poses were corrected; earlier ones are kept for a while, for keyframes
            that a tracker placed before it knew of a correction.
    """

    def __init__(self, capacity: int, newest: int = 10) -> None:
        self._capacity = capacity
        self._newest = min(newest, capacity)
        self._keyframes: dict[int, Keyframe] = {}
        self._poses: dict[int, SubmapPose] = {}
        self._cells: dict[int, npt.NDArray[np.int64]] = {}
        self._earlier: dict[int, deque[tuple[int, SubmapPose]]] = {}
        self.revision = 0

    def __len__(self) -> int:
        return len(self._keyframes)

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._keyframes

    @property
    def ids(self) -> list[int]:
        """Ids of the keyframes, in the order they came."""
        return list(self._keyframes)

    @property
    def keyframes(self) -> Iterable[Keyframe]:
        """The keyframes as they came; their own pose is the one at creation."""
        return self._keyframes.values()

    @property
    def poses(self) -> dict[int, SubmapPose]:
        """A copy of the present poses by id."""
        return dict(self._poses)

    def keyframe(self, identifier: int) -> Keyframe:
        """Return a keyframe."""
        return self._keyframes[identifier]

    def pose(self, identifier: int) -> Float64Array:
        """Return the present T_map_cam (4, 4) of a keyframe, in the frame of its submap."""
        return self._poses[identifier].T_map_cam

    def submap(self, identifier: int) -> int:
        """Return the submap that a keyframe is in."""
        return self._poses[identifier].submap

    @property
    def submaps(self) -> list[int]:
        """Submaps that there are keyframes in, sorted; 0 is the map itself."""
        return sorted({pose.submap for pose in self._poses.values()})

    def of_submap(self, number: int) -> list[int]:
        """Ids of the keyframes in a submap, in the order they came."""
        return [i for i, pose in self._poses.items() if pose.submap == number]

    def pose_at(self, identifier: int, revision: int) -> SubmapPose:
        """Return the pose that a keyframe had after so many corrections.

        The oldest one known stands for those before it.
        """
        return next((pose for last, pose in self._earlier.get(identifier, ()) if revision <= last),
                    self._poses[identifier])

    def add(self, keyframe: Keyframe, pose: SubmapPose) -> int | None:
        """Hold a keyframe; returns the id of the one that had to go for it."""
        self._keyframes[keyframe.id] = keyframe
        self._poses[keyframe.id] = SubmapPose(np.array(pose.T_map_cam), submap=pose.submap)
        if len(self._keyframes) <= self._capacity:
            return None
        victim = self._most_redundant()
        del self._keyframes[victim], self._poses[victim]
        self._cells.pop(victim, None)
        self._earlier.pop(victim, None)
        return victim

    def prune(self, keyframe: Keyframe) -> None:
        """Replace a keyframe that is held by one with fewer features; its pose stays."""
        self._keyframes[keyframe.id] = keyframe
        self._cells.pop(keyframe.id, None)

    def correct(self, poses: dict[int, SubmapPose]) -> None:
        """Change the poses of keyframes that are held: one more revision of the map."""
        for identifier, pose in poses.items():
            earlier = self._earlier.setdefault(identifier, deque(maxlen=_EARLIER_POSES))
            earlier.append((self.revision, self._poses[identifier]))
            self._poses[identifier] = pose
            self._cells.pop(identifier, None)
        self.revision += 1

    def coverage(self) -> npt.NDArray[np.int64]:
        """Return the cells that are covered, each once, as sorted numbers."""
        return np.unique(np.concatenate([self._cells_of(i) for i in self._keyframes])
                         if self._keyframes else np.empty(0, np.int64))

    def _cells_of(self, identifier: int) -> npt.NDArray[np.int64]:
        if identifier not in self._cells:
            self._cells[identifier] = covered_cells(
                self._keyframes[identifier], self._poses[identifier])
        return self._cells[identifier]

    def _most_redundant(self) -> int:
        identifiers = self.ids
        cells = [self._cells_of(i) for i in identifiers]
        _, inverse, counts = np.unique(
            np.concatenate(cells), return_inverse=True, return_counts=True)
        often = np.split(counts[inverse], np.cumsum([len(c) for c in cells])[:-1])
        ranks = [(int((times == 1).sum()), -float(times.mean()), order)
                 for order, times in enumerate(often[:len(identifiers) - self._newest])]
        return identifiers[min(ranks)[2]]


def covered_cells(keyframe: Keyframe, pose: SubmapPose) -> npt.NDArray[np.int64]:
    """Return the cells (m,) that a keyframe of at least one point covers, sorted.

    A cell is a cube of `_CELL_M` of a submap and the octant its points are seen from: the two
    sides of a wall teach different things.
    """
    T_map_cam = pose.T_map_cam
    points = transform_points(T_map_cam, keyframe.points_cam_N3.astype(np.float64))
    cube = np.floor(points / _CELL_M).astype(np.int64) % _CELL_RANGE
    octant = (points > T_map_cam[:3, 3]) @ np.array([1, 2, 4])
    place = (cube[:, 0] * _CELL_RANGE + cube[:, 1]) * _CELL_RANGE + cube[:, 2]
    return np.unique((place * (MOST_SUBMAPS + 1) + pose.submap) * 8 + octant)
