"""Ctrl-C during a live run ends the camera, so that what was mapped is saved."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..io.source import LiveSource

if TYPE_CHECKING:
    from ..io.source import Source

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ends_when_told(source: Source) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a live source; the same again does what it always does.

    A recording ends by itself: there they go on to mean that nobody wants the result.
    """
    if not isinstance(source, LiveSource):
        yield
        return
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def end(number: int, frame: object) -> None:
        restore()
        print("ace-slam: ending; once more leaves without saving", file=sys.stderr, flush=True)
        source.stop()

    before.update((number, signal.signal(number, end)) for number in _SIGNALS)
    try:
        yield
    finally:
        restore()
