"""Head weights between the nodes: what the segment holds, and which keyframes count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..core.encoders.interface import Encoder
from ..core.errors import AceSlamError, MapError, SegmentError
from ..core.heads.payload import PAYLOAD_SCHEMA, read_info
from ..core.weights_segment import SegmentStatus, WeightsReader, WeightsWriter


def weights_schema(encoder: Encoder) -> str:
    """Describe what the segment's payload is; nodes that disagree must not read each other.

    The type of head is not part of it: every payload names its own.
    """
    return f"{PAYLOAD_SCHEMA} {encoder.name} {encoder.hash}"


class Heartbeat:
    """Says once a second that the writer lives, also while its owner loads a large map.

    Readers in another container can judge the writer by this alone.
    """

    PERIOD_S = 1.0

    def __init__(self, writer: WeightsWriter) -> None:
        self._writer, self._stopping = writer, threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(self.PERIOD_S):
            self._writer.heartbeat()

    def stop(self) -> None:
        """End; the writer may be closed afterwards."""
        self._stopping.set()
        self._thread.join()


class MapFollower:
    """Tells keyframes of a new map, which the tracker began, from stragglers of an old one.

    When the mapper loads or resumes a map, keyframes of other maps still arrive for a moment: the
    tracker has not taken the new weights yet, or the middleware replays its last keyframes. For
    that time only keyframes of the loaded map count, and those of the map that was left stay
    out for longer. Later another map means that the tracker was reset, and the mapper follows.
    """

    GRACE_S = 4.0
    #: Not for ever: a tracker that was reset and returned may never take up the loaded map.
    LEFT_S = 60.0

    def __init__(self, current: str) -> None:
        self.current = current
        self._grace_until_s = 0.0
        self._left_until_s: dict[str, float] = {}

    def move_to(self, map_id: str) -> None:
        """Change the map by own decision."""
        now_s = time.monotonic()
        self._left_until_s = {i: s for i, s in self._left_until_s.items() if s > now_s}
        self._left_until_s[self.current] = now_s + self.LEFT_S
        self._left_until_s.pop(map_id, None)
        self.current = map_id
        self.hold()

    def hold(self) -> None:
        """Keep the current map for the grace time, before keyframes are replayed."""
        self._grace_until_s = time.monotonic() + self.GRACE_S

    def accepts(self, map_id: str) -> bool:
        """Tell whether a keyframe of `map_id` counts; the current map follows a new one."""
        if map_id == self.current:
            return True
        until_s = max(self._grace_until_s, self._left_until_s.get(map_id, 0.0))
        if time.monotonic() < until_s:
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
    """A node's reading end of the segment; problems are kept as text for diagnostics.

    Args:
        segment: name of the weights segment.
        schema: of its payload.
        on_refused: told why weights were refused.
    """

    def __init__(
        self, segment: str, schema: str, on_refused: Callable[[str], None] = lambda text: None
    ) -> None:
        self._on_refused = on_refused
        self._reader = WeightsReader(segment, schema)
        # Readers belong to one thread: diagnostics ask from the executor's, weights go to the
        # worker's.
        self._status_reader = WeightsReader(segment, schema)
        self.version = 0
        self._unreadable = self._refusal = ""

    @property
    def problem(self) -> str:
        """Why the newest weights are not in use; empty when they are."""
        return self._unreadable or self._refusal

    def take(self, accept: Callable[[bytes, int], None]) -> HeadUpdate | None:
        """Hand weights newer than the last ones to `accept(payload, version)`.

        Returns what was taken, None when nothing is new or it was refused, by an AceSlamError of
        `accept`. Never waits.
        """
        update = self._poll()
        if update is None:
            return None
        try:
            accept(update.payload, update.version)
        except AceSlamError as error:
            self._refusal = str(error)  # until a later version is accepted
            self._on_refused(self._refusal)
            return None
        self._refusal = ""
        return update

    def _poll(self) -> HeadUpdate | None:
        try:
            found = self._reader.read(self.version)
            update = None if found is None else HeadUpdate(*found, read_info(found[1]).map_id)
        except (SegmentError, MapError) as error:
            self._unreadable = str(error)
            return None
        self._unreadable = ""
        if update is not None:
            self.version = update.version
        return update

    def status(self) -> SegmentStatus:
        """Describe the segment; from another thread than `poll`."""
        return self._status_reader.status()

    def close(self) -> None:
        """Detach from the segment."""
        self._reader.close()
        self._status_reader.close()
