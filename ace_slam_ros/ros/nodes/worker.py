"""The one worker thread of a node: jobs for waiting callers, and its own steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ...core.errors import AceSlamError
from ...core.runtime.priority import give_way


class WorkerStoppedError(AceSlamError):
    """The node is not active, so nobody does the job."""


class Worker:
    """A thread that does queued jobs first and calls `step` in between.

    Args:
        name: of the thread.
        step: called again and again; must return within a fraction of a second.
        on_error: told where an exception of `step` happened; the thread goes on.
        niceness: by which the thread gives way to others. The thread alone, once there is work:
            who is waited for at start loads as fast as the others.
    """

    def __init__(
        self, name: str, step: Callable[[], None], on_error: Callable[[str], None],
        niceness: int = 0,
    ) -> None:
        self._step, self._on_error, self._niceness = step, on_error, niceness
        self._jobs: deque[tuple[Callable[[], Any], Any, Callable[[], None]]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def submit(self, job: Callable[[], Any], future: Any, done: Callable[[], None]) -> None:
        """Queue a job; its result or exception is set on `future`, then `done` is called."""
        with self._lock:
            stopped = self._stopping
            if not stopped:
                self._jobs.append((job, future, done))
        if stopped:
            _fail(future, done)
        self._wake.set()

    @property
    def waiting(self) -> int:
        """Jobs that are queued."""
        return len(self._jobs)

    def wait(self, timeout_s: float) -> None:
        """Let `step` rest until a job comes, `notify` is called or the time is over."""
        self._wake.wait(timeout_s)
        self._wake.clear()

    def notify(self) -> None:
        """End a `wait` of the step."""
        self._wake.set()

    def _run(self) -> None:
        if self._niceness:
            give_way(self._niceness)
        while not self._stopping:
            while (job := self._next_job()) is not None:
                self._do(*job)
            try:
                self._step()
            except Exception:
                self._on_error(self._thread.name)
                self._wake.wait(0.1)  # a step that fails at once must not fill the log

    def _next_job(self) -> tuple[Callable[[], Any], Any, Callable[[], None]] | None:
        with self._lock:
            return self._jobs.popleft() if self._jobs else None

    def _do(self, job: Callable[[], Any], future: Any, done: Callable[[], None]) -> None:
        try:
            future.set_result(job())
        except Exception as error:
            future.set_exception(error)
        done()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End after the current job or step, fail the queued jobs; False when it hangs."""
        with self._lock:
            self._stopping = True
            left = list(self._jobs)
            self._jobs.clear()
        self._wake.set()
        for _, future, done in left:
            _fail(future, done)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def _fail(future: Any, done: Callable[[], None]) -> None:
    future.set_exception(WorkerStoppedError("the node is not active: activate it and ask again"))
    done()
