"""The core's log lines in the node's log: on the console with time and name, and on /rosout."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...core.errors import one_line

#: All modules of this package log below this name.
_ROOT = __name__.split(".")[0]


class _RosHandler(logging.Handler):
    """Hands records to a ROS logger."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; a line each, because rclpy allows one severity per calling line."""
        try:
            text = self.format(record)
            if not record.exc_info:
                text = one_line(text)
            if record.levelno >= logging.ERROR:
                self._logger.error(text)
            elif record.levelno >= logging.WARNING:
                self._logger.warning(text)
            elif record.levelno >= logging.INFO:
                self._logger.info(text)
            else:
                self._logger.debug(text)
        except Exception:
            self.handleError(record)


@contextmanager
def core_log_in(logger: Any) -> Iterator[None]:
    """Send what the package logs to an rclpy logger, from its level on, while the block runs."""
    root, handler = logging.getLogger(_ROOT), _RosHandler(logger)
    level, propagate = root.level, root.propagate
    root.addHandler(handler)
    root.setLevel(int(logger.get_effective_level()))  # both count debug = 10, info = 20, ...
    root.propagate = False
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        root.propagate = propagate
