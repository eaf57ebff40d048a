"""Exceptions of the core: every message names what is wrong and what to do about it."""


def one_line(text: str) -> str:
    """Return a text with control characters written out, so that names forge no log lines."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class AceSlamError(Exception):
    """Base of all errors a user can cause or fix; its text is one line."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(AceSlamError):
    """A parameter is unknown, has the wrong type, or lies outside its range."""


class DataError(AceSlamError):
    """A sequence, bag or image cannot be read, or lacks something it must have."""


class CalibrationError(DataError):
    """Camera intrinsics are missing, zero or impossible."""


class EncoderError(AceSlamError):
    """Encoder weights are missing, damaged, or do not fit the map."""


class MapError(AceSlamError):
    """A map folder is missing, damaged, or of another format or encoder."""


class SegmentError(AceSlamError):
    """The shared-memory segment is missing, stale, of another layout, or corrupt."""
