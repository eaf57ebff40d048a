"""What every recorded sequence offers, and a log of the frames it leaves out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..core.config.sections import SLOP_S

if TYPE_CHECKING:
    from ..core.data.camera import Camera
    from ..core.data.frame import Frame
    from ..core.data.trajectory import Trajectory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadOptions:
    """How a recording is read.

    Attributes:
        color, depth, info: topics of a bag by name; None = chosen by what the bag holds.
        slop_s: largest stamp gap of an image pair.
        stamps: what frames are stamped with, `header` or `arrival`, the time of recording.
        depth_unit_m: meters per unit of integer depth (`sensor.depth_unit_m`); 0 = as the
            recording says.
    """

    color: str | None = None
    depth: str | None = None
    info: str | None = None
    slop_s: float = SLOP_S
    stamps: str = "header"
    depth_unit_m: float = 0.0

    @property
    def slop_ns(self) -> int:
        """The slop in nanoseconds."""
        return round(self.slop_s * 1e9)

    @property
    def names_topics(self) -> bool:
        """Tell whether a topic is given by name."""
        return any((self.color, self.depth, self.info))


@dataclass
class SkipLog:
    """Frames left out: how many for which reason, logged once per reason.

    Attributes:
        first: reason -> message of the first frame skipped for it.
    """

    first: dict[str, str] = field(default_factory=dict)
    _reason_by_stamp: dict[int, str] = field(default_factory=dict, repr=False)

    def add(self, reason: str, message: str, stamp_ns: int, level: int = logging.WARNING) -> None:
        """Count the frame at `stamp_ns`; a second pass over the same frame counts once."""
        self._reason_by_stamp[stamp_ns] = reason
        if reason not in self.first:
            self.first[reason] = message
            log.log(level, "skipped: %s (further cases are only counted)", message)

    @property
    def counts(self) -> dict[str, int]:
        """Number of skipped frames by reason."""
        return dict(Counter(self._reason_by_stamp.values()))

    @property
    def total(self) -> int:
        """Number of skipped frames."""
        return len(self._reason_by_stamp)

    def summary(self) -> str:
        """Say all reasons in one line: `3 x reason (first message); ...`."""
        parts = (f"{n} x {r} ({self.first[r]})" for r, n in self.counts.items())
        return "; ".join(parts) or "none"


class Source(Protocol):
    """A recorded RGB-D sequence, or a live camera.

    Attributes:
        name: short name for titles.
        path: where it lies.
        camera: undistorted camera that the frames carry.
        raw_camera: camera of the images as recorded, with lens distortion.
        groundtruth: camera poses (optical frame) in the ground-truth frame, or None.
        stamps_ns: (N,) int64 stamps of the synchronized pairs, increasing.
        skips: frames left out so far.
        choice: what was chosen among the topics of a bag, by role, and why; else empty.
        assumptions: what nobody told and was assumed, what -> how.
        is_live: frames come when a camera delivers them, without end: see `LiveSource`. It has no
            length and no earlier frames.
        device_names: what tells which camera it is: what its driver calls it, topics, frames.
    """

    name: str
    path: Path
    camera: Camera
    raw_camera: Camera
    groundtruth: Trajectory | None
    stamps_ns: npt.NDArray[np.int64]
    skips: SkipLog
    choice: dict[str, str]
    assumptions: dict[str, str]
    is_live: bool
    device_names: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return what `summary.json` says of how the recording was read."""

    def __len__(self) -> int:
        """Return the number of synchronized pairs, usable or not."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield usable frames lazily in stamp order, rectified; may be repeated."""

    def __getitem__(self, index: int) -> Frame:
        """Return one pair's frame; DataError when it is not usable."""


@runtime_checkable
class LiveSource(Protocol):
    """What a live camera offers besides: an end.

    Attributes:
        trouble: why it ended by itself; empty when it did not.
    """

    trouble: str

    def stop(self) -> None:
        """End the frames; may be called from another thread or a signal handler."""


def known_length(source: Source) -> int | None:
    """Return how many pairs there will be; None of a live camera."""
    return None if source.is_live else len(source)
