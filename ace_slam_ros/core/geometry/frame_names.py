"""Frame ids as people write them."""

from __future__ import annotations


def frame_name(text: str) -> str:
    """Return a frame id as TF knows it: without blanks around it and without leading slashes."""
    return text.strip().lstrip("/")
