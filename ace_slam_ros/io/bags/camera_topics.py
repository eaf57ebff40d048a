"""Color, depth and calibration of a bag that may be one camera's, and how well they fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .file import IMAGE

if TYPE_CHECKING:
    from .streams import Stream

_GRAY = ("mono8", "mono16", "8uc1")
#: Calibrations agree to so many pixels: drivers round them.
_SAME_PIXELS = 0.5
#: So much of the slower stream must find a partner, or the two were not meant to be paired.
_LEAST_PAIRED = 0.5


@dataclass(frozen=True)
class CameraTopics:
    """A color topic with the depth and the calibration that may belong to it."""

    color: Stream
    depth: Stream | None
    info: Stream | None
    depth_info: Stream | None
    slop_ns: int

    @cached_property
    def size(self) -> int:
        """1 = color and depth are of one size, -1 = of two, 0 = not known."""
        if self.depth is None or not (self.color.size[0] and self.depth.size[0]):
            return 0
        return 1 if self.color.size == self.depth.size else -1

    @cached_property
    def frame(self) -> int:
        """1 = one frame, -1 = two, 0 = not known."""
        if self.depth is None or not (self.color.frame_id and self.depth.frame_id):
            return 0
        return 1 if self.color.frame_id == self.depth.frame_id else -1

    @cached_property
    def calibration(self) -> int:
        """1 = depth is calibrated as color is, -1 = otherwise, 0 = not known."""
        if self.depth is None or self.info is None or self.depth_info is None:
            return 0
        one = self.info.pinhole(self.color.topic)
        two = self.depth_info.pinhole(self.depth.topic)
        if one is None or two is None:
            return 0
        return 1 if np.allclose(one, two, rtol=0.0, atol=_SAME_PIXELS) else -1

    @cached_property
    def paired(self) -> float | None:
        """Share of the stamps of the slower stream that have a partner; None = too few."""
        if self.depth is None:
            return None
        color, depth = (np.unique(s.stamps_ns) for s in (self.color, self.depth))
        if min(len(color), len(depth)) < 3:
            return None
        first, last = max(color[0], depth[0]), min(color[-1], depth[-1])
        color, depth = (s[(s >= first - self.slop_ns) & (s <= last + self.slop_ns)]
                        for s in (color, depth))
        few, many = sorted((color, depth), key=len)
        if not len(few):
            return 0.0
        gaps_ns = np.abs(few[:, None] - many[None, :]).min(axis=1)
        return float((gaps_ns <= self.slop_ns).mean())

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """Leading namespaces that color and depth share; of color alone those of its camera."""
        if self.depth is None:
            return tuple(self.color.base.split("/")[1:-2])
        return shared_namespaces(self.color.base, self.depth.base)

    @cached_property
    def fit(self) -> tuple[int, ...]:
        """How well the topics go together as one camera; more is better."""
        pairs = self.paired is None or self.paired >= _LEAST_PAIRED
        return (self.depth is not None, self.info is not None, pairs, min(self.size, 0),
                min(self.frame, 0) + min(self.calibration, 0))

    @cached_property
    def preference(self) -> tuple[int, ...]:
        """Which variant of one camera's topics is better; more is better."""
        name = self.color.topic.lower()
        depth = "" if self.depth is None else self.depth.topic.lower()
        registered = any(w in depth for w in ("aligned", "registered", "depth_to_"))
        return (
            self.size + self.frame + self.calibration, len(self.shared), registered,
            "_to_depth" not in name, self.color.encoding.lower() not in _GRAY,
            any(w in name for w in ("color", "colour", "rgb")), "rect" not in name,
            "rect" not in depth, self.color.kind == IMAGE,
            self.depth is None or self.depth.kind == IMAGE)

    def named(self) -> str:
        """Return the options that choose this pair."""
        depth = "" if self.depth is None else f" --depth {self.depth.topic}"
        return f"--color {self.color.topic}{depth}"

    def reason(self) -> str:
        """Say why the two are taken for one camera."""
        if self.depth is None:
            return "no depth"
        said = [word for word, known in (
            ("size", self.size), ("frame", self.frame), ("calibration", self.calibration),
        ) if known > 0]
        reasons = [f"same {', '.join(said)}"] if said else []
        if self.paired is not None:
            reasons.append(f"{100 * self.paired:.0f} % of the first stamps pair")
        return "; ".join(reasons) or "nothing speaks against it"


def shared_namespaces(one: str, other: str) -> tuple[str, ...]:
    """Return the leading namespaces that two topics share."""
    a, b = (topic.split("/")[1:-1] for topic in (one, other))
    count = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
                 min(len(a), len(b)))
    return tuple(a[:count])
