"""Which streams of a camera are opened: size and rate, by its offer and its connection."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

#: Images of this size are what the system is measured with; more pixels cost time, not accuracy.
COLOR_SIZE = 640, 480
#: Stereo cameras are made for this size; registered to color it covers the color image.
DEPTH_SIZE = 848, 480
#: On USB 2 as many pixels as pass through at a rate that a hand-held camera can be tracked at.
SLOW_DEPTH_SIZE = 640, 480
RATE_HZ, SLOW_RATE_HZ = 30, 15


class Mode(NamedTuple):
    """Size and rate of a stream."""

    width: int
    height: int
    rate_hz: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} at {self.rate_hz} Hz"


class Choice(NamedTuple):
    """What is asked of the camera, both at one rate."""

    color: Mode
    depth: Mode


def is_slow(usb: str) -> bool:
    """Tell whether a connection is USB 2 or less; `usb` is as 2.1 or 3.2, empty = not told."""
    return usb[:1] in ("1", "2")


def choices(color: Iterable[Mode], depth: Iterable[Mode], usb: str = "") -> list[Choice]:
    """Return the pairs of streams with one rate that a camera offers, the best first.

    Args:
        color, depth: what it offers; color as 8 bit RGB, depth as 16 bit integers.
        usb: version of its connection, see `is_slow`.
    """
    rate_hz = SLOW_RATE_HZ if is_slow(usb) else RATE_HZ
    depth_size = SLOW_DEPTH_SIZE if is_slow(usb) else DEPTH_SIZE
    pairs = {Choice(c, d) for c in color for d in depth if c.rate_hz == d.rate_hz}

    def cost(pair: Choice) -> tuple[float, float, float, Choice]:
        off = pair.color.rate_hz - rate_hz
        return (max(off, -4 * off), _unlike(pair.color, COLOR_SIZE),
                _unlike(pair.depth, depth_size), pair)

    return sorted(pairs, key=cost)


def _unlike(mode: Mode, size: tuple[int, int]) -> float:
    """How much a size differs from the one that is wanted."""
    return abs(math.log(mode.width / size[0])) + abs(math.log(mode.height / size[1]))
