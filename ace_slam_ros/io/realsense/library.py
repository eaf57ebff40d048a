"""The library of RealSense cameras, which is imported only here, and what its errors mean."""

from __future__ import annotations

import importlib
from typing import Any

from ...core.errors import AceSlamError

#: What a live camera needs; the extra `realsense` in pyproject.toml.
PACKAGE = "pyrealsense2>=2.56,<3"
#: Words of the library's errors, in lower case, and what they mean for people.
_MEANINGS = (
    (("busy", "errno=16", "power state", "is in use"),
     "another program uses the camera: end realsense-viewer, the ROS driver or another run"),
    (("permission", "access", "errno=13"),
     "this user may not open the camera: install librealsense's udev rules "
     "(99-realsense-libusb.rules in /etc/udev/rules.d), then plug the camera in again"),
    (("no device connected", "disconnected", "no such device", "errno=19"),
     "the camera is gone: plug it in again, into a USB 3 port"),
    (("couldn't resolve requests", "failed to resolve"),
     "the camera does not offer these streams together: plug it into a USB 3 port, or update its "
     "firmware"),
)


class CameraError(AceSlamError):
    """A live camera cannot be used."""


def import_library() -> Any:
    """Import pyrealsense2.

    Raises:
        CameraError: it is not installed, or the machine lacks what it needs; names the command.
    """
    try:
        return importlib.import_module("pyrealsense2")
    except ModuleNotFoundError as error:
        raise CameraError(
            f"a live RealSense needs its library ({error}): pip install '{PACKAGE}'") from error
    except ImportError as error:
        fix = f"pip install --force-reinstall '{PACKAGE}'"
        if "libusb" in str(error):
            fix = "sudo apt install libusb-1.0-0"
        raise CameraError(f"the RealSense library cannot be loaded ({error}): {fix}") from error


def explained(error: Exception) -> str:
    """Say what an error of the library means, and what to do about it."""
    text = " ".join(str(error).split())
    meaning = next((meaning for words, meaning in _MEANINGS
                    if any(word in text.lower() for word in words)), "")
    return f"{meaning} ({text})" if meaning else text
