"""The mapper's session: its map kept on disk while it runs, for a restart after a crash."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from ..core.errors import AceSlamError, MapError, SegmentError
from ..core.heads.payload import read_info
from ..core.map_store import MANIFEST, MapManifest
from ..core.weights_segment import WeightsReader

_log = logging.getLogger(__name__)
#: Saving takes at most this share of the time, however large the map.
_LARGEST_SHARE = 0.05


def state_folder(segment: str) -> Path:
    """Folder of the session of a segment below the user's state directory."""
    root = os.environ.get("XDG_STATE_HOME", "")
    base = Path(root) if root else Path.home() / ".local" / "state"
    return base / "ace_slam_ros" / segment / "session"


class Session:
    """Decides when to save, what to resume, and removes the session after a clean end.

    Args:
        segment: name of the weights segment.
        schema: of its payload.
        period_s: time between saves; 0 = never.
    """

    def __init__(self, segment: str, schema: str, period_s: float) -> None:
        self.path = state_folder(segment)
        self._segment, self._schema, self._period_s = segment, schema, period_s
        self._due_s = time.monotonic() + period_s
        self._saved_state: object = None
        self.problem = ""

    def crashed_head(self) -> bytes | None:
        """Return the last head weights of a mapper that died, when `path` holds their map.

        The dead mapper's segment must still be there and name the same map: a session without a
        segment is from before a reboot, and nobody follows its map any more.
        """
        try:
            manifest = MapManifest.from_json((self.path / MANIFEST).read_text())
        except (OSError, UnicodeDecodeError, MapError):
            return None
        reader = WeightsReader(self._segment, self._schema, allow_stale=True)
        try:
            status = reader.status()
            found = reader.read()
            if status.exists and not status.writer_alive and found is not None and (
                    read_info(found[1]).map_id == manifest.map_id):
                return found[1]
        except (SegmentError, MapError) as error:
            _log.warning("the last session is not resumed: %s", error)
        finally:
            reader.close()
        return None

    def save_when_due(self, state: object, save: Callable[[Path], object]) -> None:
        """Save when the period is over and `state` is not the one saved last; never raises."""
        now_s = time.monotonic()
        if self._period_s <= 0.0 or now_s < self._due_s or state == self._saved_state:
            return
        try:
            save(self.path)
            self._saved_state, self.problem = state, ""
        except AceSlamError as error:
            self.problem = f"the session is not saved, a crash would lose the map: {error}"
        took_s = time.monotonic() - now_s
        self._due_s = now_s + took_s + max(self._period_s, took_s / _LARGEST_SHARE)

    def remove(self) -> None:
        """Forget the session, after a clean end."""
        shutil.rmtree(self.path, ignore_errors=True)
