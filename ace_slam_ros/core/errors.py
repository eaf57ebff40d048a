"""Exceptions of the core: every message names what is wrong and what to do about it."""


class AceSlamError(Exception):
    """Base of all errors a user can cause or fix; the command line prints it as one line."""


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
