"""Stop signals and the death of the parent process."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PARENT_POLL_S = 0.5


class StopSignals:
    """Calls back once when the process shall end: SIGINT, SIGTERM, SIGHUP, or parent death.

    A signal wakes a thread through a pipe, because the main thread waits inside the middleware
    where Python's handlers do not run. Further signals during the shutdown change nothing, so
    that a terminal's and a launcher's SIGINT together end the node cleanly.
    """

    def __init__(self, on_stop: Callable[[str], None]) -> None:
        self._on_stop = on_stop
        self._parent: int | None = None
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stop-signals", daemon=True).start()

    def watch_parent(self, pid: int) -> None:
        """Also stop when process `pid` is gone; 0 = do not watch."""
        self._parent = pid or None

    def _watch(self) -> None:
        while True:
            readable, _, _ = select.select([self._read_fd], [], [], _PARENT_POLL_S)
            if readable:
                numbers = os.read(self._read_fd, 64)
                stop = [signal.Signals(n).name for n in numbers if n in _SIGNALS]
                if stop:
                    self._on_stop(stop[0])
                    return
            if self._parent is not None and not process_lives(self._parent):
                self._on_stop(f"process {self._parent} (ros.parent_pid) is gone")
                return


def process_lives(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set; restores the handlers afterwards."""
    event = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        event.set()

    previous = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
