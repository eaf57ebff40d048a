"""Work that is done part by part, so that something else can be done between."""

from __future__ import annotations

from collections.abc import Generator
from typing import Generic, TypeVar

Result = TypeVar("Result")
#: Pauses at each `yield`; returns the result.
Parts = Generator[None, None, Result]


def at_once(parts: Parts[Result]) -> Result:
    """Do all that is left; return the result."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: Result = end.value
            return result


class InParts(Generic[Result]):
    """Work that has begun.

    Attributes:
        result: None before the last part is done.
        begun: whether the first part is done.
    """

    def __init__(self, parts: Parts[Result]) -> None:
        self._parts = parts
        self.result: Result | None = None
        self.begun = False

    def step(self) -> None:
        """Do the next part."""
        self.begun = True
        try:
            next(self._parts)
        except StopIteration as end:
            self.result = end.value
