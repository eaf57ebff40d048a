"""The mapper in a process of its own: keyframes go there, head weights come back.

The weights come through shared memory, as between the ROS nodes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import secrets
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..core.encoders.loading import load_encoder
from ..core.errors import AceSlamError
from ..core.heads.factory import head_capacity_bytes
from ..core.heads.payload import PAYLOAD_SCHEMA
from ..core.mapping.mapper import Mapper
from ..core.maps.manifest import MapManifest
from ..core.runtime.device import choose_device, set_threads
from ..core.runtime.priority import MAPPER_NICENESS, give_way
from ..core.slam import open_map
from ..weights_ipc.layout import segment_path
from ..weights_ipc.reader import WeightsReader
from ..weights_ipc.writer import WeightsWriter

if TYPE_CHECKING:
    from ..core.config.sections import SlamConfig
    from ..core.data.keyframe import Keyframe
    from ..core.geometry.arrays import Float64Array

#: Loading torch and a large map on a slow machine.
_START_S = 300.0
#: Learning the keyframes that wait and writing the map.
_SAVE_S = 600.0
_POLL_S = 0.2
#: A step of the mapper, and the end of a Python that has loaded torch.
_STOP_S = 10.0


class MapperProcessError(AceSlamError):
    """The mapper's process ended or does not answer."""


@dataclass(frozen=True)
class _Keyframes:
    """Keyframes to learn."""

    keyframes: tuple[Keyframe, ...]
    map_id: str


@dataclass(frozen=True)
class _Save:
    """A request to write the map."""

    path: Path
    T_groundtruth_map: Float64Array | None


class MapperProcess:
    """Owns the process; a context manager. One thread calls it, and never waits but to save."""

    def __init__(self, config: SlamConfig, map_dir: Path | None = None) -> None:
        """Start the mapper and wait until it is ready.

        Args:
            config: all parameters.
            map_dir: the map to continue, or to localize in.

        Raises:
            MapError: the map cannot be used.
            MapperProcessError: the process does not start.
        """
        self._segment = f"ace_slam_run_{os.getpid()}_{secrets.token_hex(4)}"
        # Fork would copy torch's threads in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self._inbox: Any = context.Queue()
        self._answers, answers = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_main, name="mapper", daemon=True,
            args=(config, map_dir, self._segment, self._inbox, answers, os.getpid()))
        self._version = 0
        self._process.start()
        answers.close()
        try:
            self._answer(_START_S)
        except BaseException:
            self.close()
            raise
        self._reader = WeightsReader(self._segment, PAYLOAD_SCHEMA)

    def put(self, keyframes: Iterable[Keyframe], map_id: str) -> None:
        """Hand over keyframes of a map."""
        found = tuple(keyframes)
        if found:
            self._inbox.put(_Keyframes(found, map_id))

    def newer_head(self) -> tuple[bytes, int] | None:
        """Return weights newer than the last ones taken, and their version.

        Raises:
            MapperProcessError: the mapper failed.
        """
        if not self._process.is_alive():
            self._answer(0.0)
        found = self._reader.read(self._version)
        if found is None:
            return None
        self._version, payload = found
        return payload, self._version

    def save(self, path: Path, T_groundtruth_map: Float64Array | None = None) -> MapManifest:
        """Learn all that was handed over and write the map folder.

        Raises:
            MapError: nothing is mapped yet, or the folder cannot be written.
            MapperProcessError: the mapper failed.
        """
        self._inbox.put(_Save(path, T_groundtruth_map))
        manifest = self._answer(_SAVE_S)
        assert isinstance(manifest, MapManifest)
        return manifest

    def close(self) -> None:
        """End the process; what was not saved is dropped."""
        if self._process.is_alive():
            self._inbox.put(None)
            self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        segment_path(self._segment).unlink(missing_ok=True)  # a killed process leaves it
        self._inbox.cancel_join_thread()
        self._inbox.close()
        if hasattr(self, "_reader"):
            self._reader.close()

    def __enter__(self) -> MapperProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, patience_s: float) -> Any:
        """Wait for an answer; raise it if it is an error."""
        with contextlib.suppress(EOFError, OSError):
            if self._answers.poll(patience_s):
                answer = self._answers.recv()
                if isinstance(answer, Exception):
                    raise answer
                return answer
        if self._process.is_alive():
            raise MapperProcessError(f"the mapper does not answer within {patience_s:.0f} s")
        self._process.join()
        raise MapperProcessError(
            f"the mapper's process ended (exit code {self._process.exitcode}): out of memory, or "
            "killed; run again with more memory or a smaller keyframe.max_count")


def _main(
    config: SlamConfig, map_dir: Path | None, segment: str, inbox: Any, answers: Connection,
    owner: int,
) -> None:
    """Run the mapper until told to stop or its owner is gone; what goes wrong is the answer."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the owner, told as well, has yet to save
        signal.signal(number, signal.SIG_IGN)
    try:
        set_threads(1)
        encoder = load_encoder(
            config.encoder, choose_device(config.device), describes=False)
        mapper = Mapper(config, encoder)
        with WeightsWriter(
                segment, head_capacity_bytes(config, encoder), PAYLOAD_SCHEMA) as writer:
            if map_dir is not None:
                writer.write(open_map(mapper, map_dir, config, encoder))
            give_way(MAPPER_NICENESS)
            answers.send("ready")
            while os.getppid() == owner and _serve(mapper, writer, config, inbox, answers):
                pass
    except BrokenPipeError:
        return
    except AceSlamError as error:
        answers.send(error)
    except Exception as error:
        answers.send(MapperProcessError(f"the mapper failed: {type(error).__name__}: {error}"))


def _serve(
    mapper: Mapper, writer: WeightsWriter, config: SlamConfig, inbox: Any, answers: Connection
) -> bool:
    """Take what waits, work for a while, publish; False when told to stop."""
    for request in _requests(inbox, wait=not mapper.wants_work):
        if request is None:
            return False
        if isinstance(request, _Save):
            answers.send(_saved(mapper, request))
        elif not config.localization_only:
            for keyframe in request.keyframes:
                mapper.add_keyframe(keyframe, request.map_id)
    if mapper.wants_work and mapper.work(
            config.mapper.budget_ms * 1e-3, lambda: not inbox.empty()):
        writer.write(mapper.export_head())
    return True


def _requests(inbox: Any, wait: bool) -> list[Any]:
    """Return what waits; with `wait`, for a moment, until there is something."""
    found: list[Any] = []
    with contextlib.suppress(queue.Empty):
        found.append(inbox.get(timeout=_POLL_S) if wait else inbox.get_nowait())
        while True:
            found.append(inbox.get_nowait())
    return found


def _saved(mapper: Mapper, request: _Save) -> MapManifest | AceSlamError:
    try:
        return mapper.save(request.path, request.T_groundtruth_map)
    except AceSlamError as error:
        return error
