"""Head weights between the nodes: what the segment holds, and when another map is followed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..core.config import SlamConfig
from ..core.encoder import Encoder
from ..core.errors import MapError, SegmentError
from ..core.weights_segment import SegmentStatus, WeightsReader


def weights_schema(config: SlamConfig, encoder: Encoder) -> str:
    """Describe what the segment's payload is; nodes that disagree must not read each other."""
    return f"ace_slam_ros head 1 {config.head.type} {encoder.name} {encoder.hash}"


def weights_capacity(config: SlamConfig) -> int:
    """Bytes a slot of the segment must hold: half a kilobyte per expert, 4 MB at least."""
    return max(4 << 20, config.head.words * config.head.experts_per_word * 512)


def head_map_id(payload: bytes) -> str:
    """Read the map id in the metadata of a head's safetensors blob.

    Raises:
        MapError: the blob holds no such metadata.
    """
    try:
        length = int.from_bytes(payload[:8], "little")
        return str(json.loads(payload[8:8 + length])["__metadata__"]["map_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise MapError("the head weights name no map: run one version in all nodes") from error


class MapFollower:
    """Decides whether data of another map is a switch to follow or a straggler of one left.

    After a reset or a loaded map, data of the map just left still arrives for a moment. It is
    ignored until the first data of the current map; from then on a return is deliberate.
    """

    def __init__(self, current: str) -> None:
        self.current = current
        self._left: set[str] = set()

    def move_to(self, map_id: str) -> None:
        """Leave the current map by own decision."""
        if map_id != self.current:
            self._left.add(self.current)
            self._left.discard(map_id)
            self.current = map_id

    def accepts(self, map_id: str) -> bool:
        """Tell whether data of `map_id` counts; the current map changes when it is a new one."""
        if map_id == self.current:
            self._left.clear()
            return True
        if map_id in self._left:
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
            update = HeadUpdate(*found, head_map_id(found[1]))
        except (SegmentError, MapError) as error:
            self.problem = str(error)
            return None
        self.problem = ""
        self.version = update.version
        self.versions_seen += 1
        return update

    def status(self) -> SegmentStatus:
        """Describe the segment."""
        return self._reader.status()

    def close(self) -> None:
        """Detach from the segment."""
        self._reader.close()
