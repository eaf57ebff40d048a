"""Stamps that cannot be used, in recordings and live: zero, or always the same."""

from __future__ import annotations

from collections.abc import Sequence

#: What to do about such stamps.
ADVICE = "let the driver stamp its messages, or use times of arrival: ros.stamps=arrival"
#: So many equal stamps are no coincidence.
_REPEATED = 3


def stamp_fault(stamps_ns: Sequence[int]) -> str:
    """Say what is wrong with the stamps of a topic; empty when they can be used.

    Args:
        stamps_ns: of messages in order of arrival; a few are enough.
    """
    if not len(stamps_ns):
        return ""
    if not any(stamps_ns):
        return "stamps are zero"
    if len(stamps_ns) >= _REPEATED and len(set(stamps_ns)) == 1:
        return f"stamps do not grow: all of {len(stamps_ns)} messages carry the same one"
    return ""
