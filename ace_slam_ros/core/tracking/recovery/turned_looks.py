"""A lost camera looks for the map in its image turned as well: one more angle in each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...localization.views.query_views import ROLLS_RAD, rolled

if TYPE_CHECKING:
    from ...data.frame import Frame
    from ...data.poses import PoseEstimate
    from ...localization.localizer import Localizer


class TurnedLooks:
    """Goes round the rolls, the likeliest first; one that found the camera is tried again first.

    Args:
        localizer: with the head.
        upright: look at the image as it is, too.
    """

    def __init__(self, localizer: Localizer, upright: bool = False) -> None:
        self._localizer, self._upright = localizer, upright
        self.clear()

    def clear(self) -> None:
        """Begin anew, with small rolls."""
        self._angles = [angle for angle in ROLLS_RAD if angle != 0.0 or self._upright]
        self._next = 0

    def look(self, frame: Frame, submap: int, everywhere: bool) -> PoseEstimate | None:
        """Solve the pose from the image turned by the next angle.

        Args:
            frame: with depth.
            submap, everywhere: as `Localizer.solve` takes them.
        """
        angle = self._angles[self._next]
        features = self._localizer.describe(frame) if angle == 0.0 else (
            self._localizer.describe_view(rolled(frame, angle), frame.camera))
        found = self._localizer.solve(features, submap, everywhere)
        if found is None:
            self._next = (self._next + 1) % len(self._angles)
        else:  # until the pose is proven, the same angle is looked at again
            self._angles.insert(0, self._angles.pop(self._next))
            self._next = 0
        return found
