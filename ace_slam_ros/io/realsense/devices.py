"""Which of the connected RealSense cameras is meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .library import CameraError, explained, import_library

#: What stands for the camera in place of a recording.
NAME = "realsense"


@dataclass(frozen=True)
class Device:
    """A connected camera.

    Attributes:
        handle: the library's object.
        name: as the driver says, e.g. Intel RealSense D435.
        serial: number on its back.
        usb: version of its connection, e.g. 3.2; empty = not told.
    """

    handle: Any
    name: str
    serial: str
    usb: str

    def __str__(self) -> str:
        usb = f", USB {self.usb}" if self.usb else ""
        return f"{self.name} (serial {self.serial}{usb})"


def wanted_serial(source: Path) -> str | None:
    """Return which camera a SOURCE names, empty = the only one; None when it is a recording.

    Raises:
        CameraError: a recording of that name lies here as well.
    """
    name, colon, serial = str(source).partition(":")
    if name != NAME or (colon and not serial):
        return None
    if source.exists():
        raise CameraError(
            f"'{source}' is the camera, and a folder here has this name too: give the folder's "
            f"full path ({source.resolve()}), or start the camera from elsewhere")
    return serial


def device_of(handle: Any) -> Device:
    """Return what the library says of a camera."""
    rs = import_library()

    def told(what: Any) -> str:
        return str(handle.get_info(what)) if handle.supports(what) else ""

    info = rs.camera_info
    return Device(handle, told(info.name), told(info.serial_number),
                  told(info.usb_type_descriptor))


def connected() -> list[Device]:
    """Return all connected cameras.

    Raises:
        CameraError: the library is missing, or the cameras cannot be asked.
    """
    rs = import_library()
    try:
        return [device_of(handle) for handle in rs.context().query_devices()]
    except RuntimeError as error:
        raise CameraError(f"RealSense cameras cannot be listed: {explained(error)}") from error


def choose(devices: Iterable[Device], serial: str = "") -> Device:
    """Return the camera that is meant.

    Args:
        devices: the connected ones.
        serial: of the wanted one; empty = the only one.

    Raises:
        CameraError: there is none, or it is not clear which; all are listed.
    """
    found = list(devices)
    there = ", ".join(map(str, found))
    if not found:
        raise CameraError(
            "no RealSense camera is connected: plug it into a USB 3 port; if `lsusb` lists it, "
            "this user may not open it: install librealsense's udev rules "
            "(99-realsense-libusb.rules in /etc/udev/rules.d)")
    if serial:
        named = [device for device in found if device.serial == serial]
        if not named:
            raise CameraError(f"no RealSense with serial {serial} is connected, but: {there}")
        return named[0]
    if len(found) > 1:
        raise CameraError(
            f"{len(found)} RealSense cameras are connected, name one as {NAME}:SERIAL: {there}")
    return found[0]
