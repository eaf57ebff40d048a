"""The mapper's session: its map kept on disk while it runs, for a restart after a crash."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.errors import AceSlamError, MapError, SegmentError
from ...core.heads.payload import read_info
from ...core.maps.manifest import MANIFEST, MapManifest
from ...core.runtime.state_folder import state_root
from ...weights_ipc.reader import WeightsReader

_log = logging.getLogger(__name__)
#: Saving takes at most this share of the time, however large the map.
_LARGEST_SHARE = 0.05


def state_folder(segment: str) -> Path:
    """Folder of the session of a segment below the user's state directory."""
    return state_root() / "ace_slam_ros" / segment / "session"


@dataclass(frozen=True)
class LoadedMap:
    """What the mapper writes down when it is told to load a map.

    Attributes:
        path: folder of the map.
        map_id: name of the map.
        localization_only: the map must not be changed.
        started_with: `mode` and `ros.map_dir` of the mapper; with others it is not restored.
    """

    path: str
    map_id: str
    localization_only: bool
    started_with: str


@dataclass(frozen=True)
class CrashedMap:
    """What a mapper that died was working on.

    Attributes:
        head: its last head weights; empty where they are lost.
        path: folder that holds the map.
        localization_only: the map must not be changed.
    """

    head: bytes
    path: Path
    localization_only: bool


class Session:
    """Decides when to save, what to resume, and removes the session after a clean end.

    Args:
        segment: name of the weights segment.
        schema: of its payload.
        period_s: time between saves; 0 = never.
        started_with: see `LoadedMap`.
    """

    def __init__(
        self, segment: str, schema: str, period_s: float, started_with: str = ""
    ) -> None:
        self.path = state_folder(segment)
        self._record = self.path.with_name("loaded.json")
        self._boot = self.path.with_name("boot_id")
        self._started_with = started_with
        self._segment, self._schema, self._period_s = segment, schema, period_s
        self._due_s = time.monotonic() + period_s
        self._saved_state: object = None
        self.problem = ""

    def note_loaded(self, path: Path, map_id: str, localization_only: bool) -> None:
        """Write down which map was loaded on request; never raises."""
        record = LoadedMap(str(path), map_id, localization_only, self._started_with)
        fresh = self._record.with_suffix(".new")
        try:
            self._begin()
            fresh.unlink(missing_ok=True)
            fresh.touch(0o600)
            fresh.write_text(json.dumps(asdict(record)))
            fresh.replace(self._record)
        except OSError as error:
            self.problem = f"a crash would lose which map was loaded: {error}"

    def crashed(self, localization_only: bool = False) -> CrashedMap | None:
        """Return what a mapper that died was working on, when a folder holds that map.

        With `localization_only`, what was mapped does not count: this mapper was given its map.
        The dead mapper's segment names the map. Where somebody removed or damaged that as well,
        what was written last since the machine started is taken: of a session from before a
        reboot nobody follows the map any more.
        """
        reader = WeightsReader(self._segment, self._schema, allow_stale=True)
        head, map_id = b"", ""
        try:
            found = reader.read()
            if reader.status().writer_alive:
                return None
            if found is not None:
                head, map_id = found[1], read_info(found[1]).map_id
        except (SegmentError, MapError) as error:
            head = b""
            _log.warning("the dead mapper's weights cannot be read: %s", error)
        finally:
            reader.close()
        if not head:
            map_id = self._written_last()
        loaded = self._loaded(map_id)
        if loaded is not None and loaded.localization_only:
            return CrashedMap(head, Path(loaded.path), True)
        if localization_only or not map_id:
            return None
        if self._saved_map_id() == map_id:
            return CrashedMap(head, self.path, False)
        return None if loaded is None else CrashedMap(head, Path(loaded.path), False)

    def _written_last(self) -> str:
        """Name of the map that was saved or loaded last since the machine started, or nothing."""
        if _text_of(self._boot) != _boot_id():
            return ""
        loaded = self._read_record()
        if loaded is not None and _written_ns(self._record) > _written_ns(self.path / MANIFEST):
            return loaded.map_id
        return self._saved_map_id()

    def _loaded(self, map_id: str) -> LoadedMap | None:
        loaded = self._read_record()
        return loaded if loaded is not None and loaded.map_id == map_id else None

    def _read_record(self) -> LoadedMap | None:
        """Return which map was loaded; None when none was, or by a mapper of other orders."""
        try:
            record = LoadedMap(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.started_with == self._started_with else None

    def _saved_map_id(self) -> str:
        try:
            return MapManifest.from_json((self.path / MANIFEST).read_text()).map_id
        except (OSError, UnicodeDecodeError, MapError):
            return ""

    def save_when_due(self, state: object, save: Callable[[Path], object]) -> None:
        """Save when the period is over and `state` is not the one saved last; never raises."""
        now_s = time.monotonic()
        if self._period_s <= 0.0 or now_s < self._due_s or state == self._saved_state:
            return
        try:
            self._begin()
            _make_private(self.path)  # the files of a map are for whom its folder is
            save(self.path)
            self._saved_state, self.problem = state, ""
        except (AceSlamError, OSError) as error:
            problem = f"the session is not saved, a crash would lose the map: {error}"
            if not self.problem:
                _log.warning("%s", problem)
            self.problem = problem
        took_s = time.monotonic() - now_s
        self._due_s = now_s + took_s + max(self._period_s, took_s / _LARGEST_SHARE)

    def _begin(self) -> None:
        """Make the folder, and write down since when the machine runs."""
        _make_private(self.path.parent)
        if _text_of(self._boot) != _boot_id():
            self._boot.unlink(missing_ok=True)
            self._boot.touch(0o600)
            self._boot.write_text(_boot_id())

    def hurry(self) -> None:
        """Save at the next chance.

        A map that a user has saved must not be older after a crash: saved again, it would lose
        what lies on the disk already.
        """
        self._due_s = time.monotonic()

    def remove(self, saved_map: bool = True) -> None:
        """Forget the session after a clean end, `saved_map` or only which map was loaded."""
        with contextlib.suppress(OSError):
            for path in (self._record, self._boot):
                path.unlink(missing_ok=True)
        if saved_map:
            shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # one that is not empty stays
            self.path.parent.rmdir()


def _boot_id() -> str:
    """Name that the kernel gives this run of the machine; empty where it gives none."""
    return _text_of(Path("/proc/sys/kernel/random/boot_id"))


def _written_ns(path: Path) -> int:
    """When a file was written last; 0 = never."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _text_of(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _make_private(folder: Path) -> None:
    """Make a folder that only this user may look into."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
