"""The local map: keyframes around the camera, and which of them show what it shows.

Their images live only in the tracker's memory, bounded, and are never saved or sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.poses import SubmapPose
from ..data.submaps import SubmapMotion, SubmapMotions, corrected
from ..geometry.se3 import invert_pose
from ..geometry.views import most_redundant_view, view_distances

if TYPE_CHECKING:
    from ..geometry.arrays import Float64Array, Int64Array
    from .flow.corners import CornerMotion
    from .local_keyframe import LocalKeyframe

_MAX_KEYFRAMES = 120
#: The newest keyframes are never dropped: the camera is there.
_NEWEST = 10
#: Views farther apart than this (translation over depth plus 1.5 x radians) share too little.
LARGEST_VIEW_DISTANCE = 1.2


@dataclass(frozen=True)
class _Stack:
    """What `nearest` needs of all keyframes, in arrays."""

    keyframes: list[LocalKeyframe]
    id_N: Int64Array
    poses_N44: Float64Array
    depth_m_N: Float64Array
    submap_N: Int64Array
    is_mapped_N: npt.NDArray[np.bool_]

    @staticmethod
    def of(keyframes: list[LocalKeyframe]) -> _Stack:
        return _Stack(
            keyframes, np.array([k.id for k in keyframes], np.int64),
            np.array([k.T_map_cam for k in keyframes]).reshape(-1, 4, 4),
            np.array([k.median_depth_m for k in keyframes]),
            np.array([k.submap for k in keyframes], np.int64),
            np.array([k.T_mapped is not None for k in keyframes], bool))


class LocalMap:
    """Bounded set of local keyframes, by id.

    Attributes:
        moves: how often keyframes were moved by others than the window adjustment.
    """

    def __init__(self) -> None:
        self._keyframes: dict[int, LocalKeyframe] = {}
        self._stacked: _Stack | None = None
        self.moves = 0

    def __len__(self) -> int:
        return len(self._keyframes)

    def __iter__(self) -> Iterator[LocalKeyframe]:
        return iter(self._keyframes.values())

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._keyframes

    def __getitem__(self, identifier: int) -> LocalKeyframe:
        return self._keyframes[identifier]

    def get(self, identifier: int) -> LocalKeyframe | None:
        """Return a keyframe, None when it is not (or no longer) here."""
        return self._keyframes.get(identifier)

    def corner_motion(self, identifier: int) -> CornerMotion | None:
        """What became of the corners of a keyframe, None when it is not here any more."""
        keyframe = self.get(identifier)
        return None if keyframe is None else keyframe.corner_motion

    def clear(self) -> None:
        """Forget all keyframes."""
        self._keyframes.clear()
        self._stacked = None

    @property
    def submaps(self) -> set[int]:
        """Submaps that there are keyframes in."""
        return {k.submap for k in self}

    def add(self, keyframe: LocalKeyframe, keep: int | None = None) -> None:
        """Take up a keyframe; when there are too many, the one most like another one goes.

        Args:
            keyframe: the new one.
            keep: id of one that must not go for it.
        """
        self._keyframes[keyframe.id] = keyframe
        if len(self) > _MAX_KEYFRAMES:
            others = [i for i in self._keyframes if i != keep]
            poses_N44 = np.stack([self[i].T_map_cam for i in others])
            submap_N = np.array([self[i].submap for i in others], np.int64)
            victim = others[most_redundant_view(poses_N44, submap_N, _NEWEST)]
            del self._keyframes[victim]
            for other in self:
                other.tracks.pop(victim, None)
        self._stacked = None

    def mark_mapped(self, identifier: int) -> None:
        """Note that the mapper gets a keyframe with its present pose."""
        keyframe = self[identifier]
        keyframe.T_mapped = keyframe.T_map_cam.copy()
        self._stacked = None

    def adjusted(self) -> None:
        """Take note of poses that the window adjustment gave to keyframes."""
        self._stacked = None

    def shift(self, T_44: Float64Array, first: int) -> None:
        """Move the keyframes with id >= `first` rigidly: T_map_cam becomes T_44 @ T_map_cam."""
        for keyframe in self:
            if keyframe.id >= first:
                keyframe.T_map_cam = T_44 @ keyframe.T_map_cam
        self._moved()

    def correct(self, poses: dict[int, SubmapPose]) -> SubmapMotions:
        """Move the keyframes to where the mapper corrected them.

        What the window adjustment found since the mapper got a keyframe stays. A keyframe that
        the mapper does not name (it is too new, or was dropped) moves along with the one made
        before it in the same submap.

        Args:
            poses: corrected poses by keyframe id.

        Returns:
            The motion of the newest keyframe of each submap.
        """
        motions: SubmapMotions = {}
        for identifier in sorted(self._keyframes):
            keyframe = self[identifier]
            if identifier in poses and keyframe.T_mapped is not None:
                now = poses[identifier]
                motions[keyframe.submap] = SubmapMotion(
                    now.T_map_cam @ invert_pose(keyframe.T_mapped), now.submap)
            moved = corrected(
                SubmapPose(keyframe.T_map_cam, submap=keyframe.submap), motions)
            if keyframe.T_mapped is not None:  # the mapper will do so when it gets it
                mapped = SubmapPose(keyframe.T_mapped, submap=keyframe.submap)
                keyframe.T_mapped = corrected(mapped, motions).T_map_cam
            keyframe.T_map_cam, keyframe.submap = moved.T_map_cam, moved.submap
        self._moved()
        return motions

    def nearest(
        self, pose: SubmapPose, count: int = 1, mapped_only: bool = False
    ) -> list[tuple[float, LocalKeyframe]]:
        """Return the `count` keyframes of its submap with the most similar view, nearest first."""
        stack = self._stack()
        usable_N = stack.submap_N == pose.submap
        if mapped_only:
            usable_N &= stack.is_mapped_N
        index = np.flatnonzero(usable_N)
        distance = view_distances(
            stack.poses_N44[index], pose.T_map_cam, stack.depth_m_N[index])
        order = np.lexsort((stack.id_N[index], distance))[:count]
        return [(float(distance[n]), stack.keyframes[index[n]]) for n in order]

    def reference(self, pose: SubmapPose, mapped_only: bool = False) -> int | None:
        """Return the keyframe that a pose is aligned with, None when all are too far."""
        nearest = self.nearest(pose, 1, mapped_only)
        return nearest[0][1].id if nearest and nearest[0][0] < LARGEST_VIEW_DISTANCE else None

    def _stack(self) -> _Stack:
        if self._stacked is None:
            self._stacked = _Stack.of(list(self))
        return self._stacked

    def _moved(self) -> None:
        self.moves += 1
        self._stacked = None
