"""Runs what images of a camera may need on their way in, so that the first one waits for nothing.

`core/warm_up.py` does the same for the core, which knows no images.
"""

from __future__ import annotations

import struct

import numpy as np

from ..core.data.camera import Camera
from .registration import Registration
from .rvl import decode_rvl


def warm_up_inputs() -> None:
    """Move depth to another camera and decode RVL, once each."""
    camera = Camera(8, 6, 8.0, 8.0, 3.5, 2.5)
    Registration(camera, camera, np.eye(4)).apply(np.ones((6, 8), np.float32))
    decode_rvl(struct.pack("<III", 4, 1, 0x22A11000))  # four pixels: two missing, then 5 and 4
