"""Head weights between the nodes: what the segment holds, and which keyframes count."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..core.config import SlamConfig
from ..core.encoder import Encoder
from ..core.errors import MapError, SegmentError
from ..core.heads.payload import PAYLOAD_SCHEMA, read_info
from ..core.weights_segment import SegmentStatus, WeightsReader


def weights_schema(config: SlamConfig, encoder: Encoder) -> str:
    """Describe what the segment's payload is; nodes that disagree must not read each other."""
    return f"{PAYLOAD_SCHEMA} {config.head.type} {encoder.name} {encoder.hash}"


def weights_capacity(config: SlamConfig) -> int:
    """Bytes a slot of the segment must hold: half a kilobyte per expert, 4 MB at least."""
    return max(4 << 20, config.head.words * config.head.experts_per_word * 512)


class MapFollower:
    """Tells keyframes of a new map, which the tracker began, from stragglers of an old one.

    When the mapper loads or resumes a map, keyframes of other maps still arrive for a moment: the
    tracker has not taken the new weights yet, or the middleware replays its last keyframes. For
    that time only keyframes of the loaded map count. Later another map means that the tracker was
    reset, and the mapper follows.
    """

    GRACE_S = 4.0

    def __init__(self, current: str) -> None:
        self.current = current
        self._grace_until_s = 0.0

    def move_to(self, map_id: str) -> None:
        """Change the map by own decision."""
        self.current = map_id
        self._grace_until_s = time.monotonic() + self.GRACE_S

    def accepts(self, map_id: str) -> bool:
        """Tell whether a keyframe of `map_id` counts; the current map follows a new one."""
        if map_id != self.current and time.monotonic() < self._grace_until_s:
            return False
        self.current = map_id
        return True


@dataclass(frozen=True)
class HeadUpdate:
    """New weights."""

    version: int
    payload: bytes
    map_id: str


class WeightsLink:
    """A node's reading end of the segment; problems are kept as text for diagnostics."""

    def __init__(self, segment: str, schema: str) -> None:
        self._reader = WeightsReader(segment, schema)
        # Readers belong to one thread: diagnostics ask from the executor's, weights go to the
        # worker's.
        self._status_reader = WeightsReader(segment, schema)
        self.version = 0
        self.versions_seen = 0
        self.problem = ""

    def poll(self) -> HeadUpdate | None:
        """Return weights newer than the last ones; never waits, never raises."""
        try:
            found = self._reader.read(self.version)
            if found is None:
                self.problem = ""
                return None
            update = HeadUpdate(*found, read_info(found[1]).map_id)
        except (SegmentError, MapError) as error:
            self.problem = str(error)
            return None
        self.problem = ""
        self.version = update.version
        self.versions_seen += 1
        return update

    def status(self) -> SegmentStatus:
        """Describe the segment; from another thread than `poll`."""
        return self._status_reader.status()

    def close(self) -> None:
        """Detach from the segment."""
        self._reader.close()
        self._status_reader.close()
