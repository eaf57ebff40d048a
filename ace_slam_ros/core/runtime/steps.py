"""Work that is done step by step, so that something else can be done between."""

from __future__ import annotations

from collections.abc import Generator
from typing import Generic, TypeVar

Result = TypeVar("Result")
#: Pauses at each `yield`; returns the result.
Steps = Generator[None, None, Result]


def at_once(steps: Steps[Result]) -> Result:
    """Do all that is left; return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


class SteppedTask(Generic[Result]):
    """Work that has begun.

    Attributes:
        result: None before the last step is done.
        begun: whether the first step is done.
    """

    def __init__(self, steps: Steps[Result]) -> None:
        self._steps = steps
        self.result: Result | None = None
        self.begun = False

    def step(self) -> None:
        """Do the next step."""
        self.begun = True
        try:
            next(self._steps)
        except StopIteration as end:
            self.result = end.value
