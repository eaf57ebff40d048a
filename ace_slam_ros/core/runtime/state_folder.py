"""Where programs keep state between runs: the user's state folder, as XDG has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def state_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Return $XDG_STATE_HOME, by default ~/.local/state."""
    root = environment.get("XDG_STATE_HOME")
    return Path(root) if root else Path.home() / ".local" / "state"
