"""Head weights between the nodes: what the segment holds, and which keyframes count."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.errors import AceSlamError, SegmentError
from ...core.heads.payload import PAYLOAD_SCHEMA
from ...weights_ipc.reader import WeightsReader

if TYPE_CHECKING:
    from ...core.encoders.base import Encoder
    from ...weights_ipc.writer import WeightsWriter
    from ..outputs.diagnostics import Report

_log = logging.getLogger(__name__)


def weights_schema(encoder: Encoder) -> str:
    """Describe what the segment's payload is; nodes that disagree must not read each other.

    The type of head is not part of it: every payload names its own.
    """
    return f"{PAYLOAD_SCHEMA} {encoder.name} {encoder.hash}"


class Heartbeat:
    """Says once a second that the writer lives, also while its owner loads a large map.

    Readers in another container can judge the writer by this alone. A segment that somebody
    damaged is restored by it.

    Attributes:
        problem: why the segment cannot be restored; empty when it is whole.
    """

    PERIOD_S = 1.0

    def __init__(self, writer: WeightsWriter) -> None:
        self.problem = ""
        self._writer, self._stopping = writer, threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(self.PERIOD_S):
            try:
                self._writer.heartbeat()
                self.problem = ""
            except (OSError, SegmentError) as error:
                if not self.problem:
                    _log.warning("nobody gets new weights: %s", error)
                self.problem = f"nobody gets new weights: {error}"

    def stop(self) -> None:
        """End; the writer may be closed afterwards."""
        self._stopping.set()
        self._thread.join()


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
        self._seen = False

    @property
    def problem(self) -> str:
        """Why the newest weights are not in use; empty when they are."""
        return self._unreadable or self._refusal

    def waiting(self) -> str:
        """Say that no mapper has come up yet; empty once there was one. From the worker's thread.

        What a tracker maps meanwhile is kept for the mapper, but nothing finds a lost camera.
        """
        if not (self.version or self._seen):
            self._seen = self._reader.status().writer_alive
        return "" if self.version or self._seen else (
            "waiting for the mapper: it is still loading, or not running")

    def take(self, accept: Callable[[bytes, int], None]) -> bool:
        """Hand weights newer than the last ones to `accept(payload, version)`.

        Returns whether there were any and they were taken; an AceSlamError of `accept` refuses
        them. Never waits.
        """
        try:
            found = self._reader.read(self.version)
        except SegmentError as error:
            self._unreadable = str(error)
            return False
        self._unreadable = ""
        if found is None:
            return False
        self.version, payload = found
        try:
            accept(payload, self.version)
        except AceSlamError as error:
            self._refusal = str(error)  # until a later version is accepted
            self._on_refused(self._refusal)
            return False
        self._refusal = ""
        return True

    def add_to(self, report: Report) -> None:
        """Add the weights in use and what is wrong; from another thread than `take`."""
        segment = self._status_reader.status()
        report.values |= {
            "weights_version": self.version, "weights_age_s": segment.heartbeat_age_s}
        report.warn(self.problem or ("" if segment.writer_alive else segment.message))

    def close(self) -> None:
        """Detach from the segment."""
        self._reader.close()
        self._status_reader.close()
