"""Long exposures of a moving camera, and a gain that follows the brightness of the view, late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..core.geometry.se3 import invert_pose
from .rendering.lighting import GAMMA, HEADROOM
from .sensor import motion_blur, motion_px

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.data.camera import Camera
    from ..core.geometry.arrays import Float64Array, UInt8Image
    from .rendering.render import Visibility

    #: A rendered picture at a time in seconds, and what it shows.
    Render = Callable[[float], tuple[UInt8Image, Visibility]]

#: Longest motion that is blurred by warping one picture: further on, what comes into the image and
#: what near things uncover would be missing.
_SLICE_PX = 8.0
_MOST_SLICES = 5
#: Mean linear brightness that automatic exposure strives for, and how far it can go.
_TARGET, _LEAST_GAIN, _MOST_GAIN = 0.2, 0.5, 2.5
#: Time between two readings; a reading takes effect after one more; time constant of the control.
_READING_S, _SETTLING_S = 0.1, 0.3


def long_exposure(
    render: Render, pose: Callable[[float], Float64Array], time_s: float, shutter_s: float,
    camera: Camera,
) -> tuple[UInt8Image, Visibility]:
    """Average pictures rendered over the exposure, each blurred over its share of it.

    Args:
        render: draws the world as it is at a time.
        pose: T_world_cam (4, 4) at a time.
        time_s: the middle of the exposure.
        shutter_s: its length.
        camera: intrinsics.

    Returns:
        The picture (H, W, 3), and what is seen in the middle of the exposure.
    """
    def motion(start_s: float, end_s: float) -> Float64Array:
        return invert_pose(pose(end_s)) @ pose(start_s)

    half = shutter_s / 2
    moved_px = motion_px(motion(time_s - half, time_s + half), camera)
    slices = min(_MOST_SLICES, int(np.ceil(moved_px / _SLICE_PX)))
    slices += 1 - slices % 2  # odd, so that one is in the middle
    share_s = shutter_s / slices
    total = np.zeros((camera.height, camera.width, 3), np.uint16)
    middle: Visibility | None = None
    for k in range(slices):
        at_s = time_s + (k - slices // 2) * share_s
        image, seen = render(at_s)
        total += motion_blur(image, seen.inverse_depth_HW,
                             motion(at_s - share_s / 2, at_s + share_s / 2), camera)
        if k == slices // 2:
            middle = seen
    assert middle is not None
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / slices), np.uint8), middle


class AutoExposure:
    """Gain that keeps the brightness of the view; it depends on the past and on nothing else.

    Args:
        look: a small picture, encoded as in `lighting`, of what is seen at a time in seconds.
    """

    def __init__(self, look: Callable[[float], UInt8Image]) -> None:
        self._look = look
        self._wanted: list[float] = []
        self._gains = [self._reading(0)]  # settled at the start

    def gain(self, time_s: float) -> float:
        """Return the factor of linear brightness at a time."""
        at = max(0.0, time_s) / _READING_S
        while len(self._gains) < int(at) + 2:
            late = self._reading(max(0, len(self._gains) - 2))
            share = 1 - np.exp(-_READING_S / _SETTLING_S)
            self._gains.append(float(self._gains[-1] * (late / self._gains[-1]) ** share))
        return float(np.interp(at, np.arange(len(self._gains)), self._gains))

    def _reading(self, number: int) -> float:
        """Gain that would suit the view at a reading."""
        while len(self._wanted) <= number:
            picture = self._look(len(self._wanted) * _READING_S)
            brightness = float(np.mean((picture / 255.0) ** GAMMA)) / HEADROOM
            self._wanted.append(float(np.clip(
                _TARGET / max(brightness, 1e-6), _LEAST_GAIN, _MOST_GAIN)))
        return self._wanted[number]
