"""From an unjoined submap the tracker keeps looking into the map, and returns when it sees it.

The mapper joins a submap by its keyframes, which hold no image: it sees a place again only upright
and from nearby. The tracker has the image, and can turn it. It goes back into the map when two
looks from different views agree on where the submap lies; the submap stays, until it is joined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...data.submaps import MAIN_SUBMAP
from ...geometry.se3 import invert_pose, pose_error
from ...geometry.views import view_distances
from ...localization.views.search import SURE
from ..scheduler import Stage
from .turned_looks import TurnedLooks

if TYPE_CHECKING:
    from ...data.poses import PoseEstimate, SubmapPose
    from ...geometry.arrays import Float64Array
    from ...localization.localizer import Localizer
    from ..local_mapping import Tracked
    from ..result import StageClock
    from ..scheduler import Scheduler

#: Frames between two looks.
_EVERY = 3
#: Two looks may differ by this, and are two witnesses when their views are this far apart.
_AGREE_M, _AGREE_RAD = 0.08, np.deg2rad(3.0)
_APART = 0.1
#: Depth by which views are compared, meters: that of a room.
_DEPTH_M = 2.0


@dataclass(frozen=True)
class _Witness:
    """A look into the map, and the camera's pose in its submap at the same time."""

    T_map_submap: Float64Array
    pose: SubmapPose
    raw: PoseEstimate


class ReturnToMap:
    """Adds up looks into the map from an unjoined submap.

    Args:
        localizer: with the head.
    """

    def __init__(self, localizer: Localizer) -> None:
        self._turned = TurnedLooks(localizer, upright=True)
        self.clear()

    def clear(self) -> None:
        """Forget all looks."""
        self._turned.clear()
        self._witnesses: list[_Witness] = []
        self._proven: _Witness | None = None
        self._waited = 0

    def work(self, tracked: Tracked, scheduler: Scheduler, clock: StageClock) -> None:
        """Look from a tracked frame into the map, if it is of a submap and there is time."""
        if tracked.pose.submap == MAIN_SUBMAP or self._proven is not None:
            return
        self._waited += 1
        if self._waited >= _EVERY and scheduler.fits(Stage.TURNED):
            self._waited = 0
            self._look(tracked)
            scheduler.took(Stage.TURNED, clock.lap(Stage.TURNED))

    def _look(self, tracked: Tracked) -> None:
        pose = tracked.pose
        self._witnesses = [w for w in self._witnesses if w.pose.submap == pose.submap]
        raw = self._turned.look(tracked.frame, MAIN_SUBMAP, everywhere=False)
        if raw is None or raw.confidence < SURE:
            return
        new = _Witness(raw.T_map_cam @ invert_pose(pose.T_map_cam), pose, raw)
        for other in self._witnesses:
            gap_m, gap_rad = pose_error(
                other.T_map_submap @ pose.T_map_cam, raw.T_map_cam)
            if gap_m < _AGREE_M and gap_rad < _AGREE_RAD and _apart(other.pose, pose):
                self._proven = new
                return
        self._witnesses.append(new)

    def in_map(self, pose: SubmapPose) -> PoseEstimate | None:
        """Return a pose of a submap as one of the map, once that is proven; else None."""
        proven, self._proven = self._proven, None
        if proven is None or proven.pose.submap != pose.submap:
            return None
        self._witnesses = []
        return replace(
            proven.raw, T_map_cam=proven.T_map_submap @ pose.T_map_cam, submap=MAIN_SUBMAP)


def _apart(a: SubmapPose, b: SubmapPose) -> bool:
    return bool(view_distances(a.T_map_cam[None], b.T_map_cam, _DEPTH_M)[0] > _APART)
