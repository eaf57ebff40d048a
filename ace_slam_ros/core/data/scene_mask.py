"""A mask image of the user: where the camera sees the scene, and where the robot itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import ConfigError, DataError

if TYPE_CHECKING:
    from ..geometry.arrays import UInt8Image
    from .frame import Frame

#: A mask drawn for another resolution of the same camera fits when the aspects are this alike.
_SAME_ASPECT = 0.01


class SceneMask:
    """Takes what a mask image leaves out from frames.

    Args:
        path: of the image, black where the robot is seen; empty = there is none.

    Raises:
        ConfigError: the image cannot be read, or leaves nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._mask: UInt8Image | None = None
        if path:
            file = Path(path).expanduser()
            image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) if file.is_file() else None
            if image is None:
                raise ConfigError(
                    f"sensor.mask={path} is no image that can be read: give a PNG of the camera's "
                    "size, black where the robot is seen")
            if not (image > 0).any():
                raise ConfigError(f"sensor.mask={path} is black everywhere: black is what is left "
                                  "out, paint the scene white")
            self._mask = np.asarray(image, np.uint8)

    def of(self, frame: Frame) -> Frame:
        """Return the frame without what the mask leaves out.

        Raises:
            DataError: the mask has another shape than the frame.
        """
        if self._mask is None:
            return frame
        size = (frame.camera.width, frame.camera.height)
        height, width = self._mask.shape
        if (width, height) != size:
            if abs(width * size[1] / (height * size[0]) - 1) > _SAME_ASPECT:
                raise DataError(
                    f"sensor.mask={self._path} is {width}x{height} but images are "
                    f"{size[0]}x{size[1]}: draw it on an image of this camera")
            self._mask = np.asarray(
                cv2.resize(self._mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        return frame.without(self._mask)
