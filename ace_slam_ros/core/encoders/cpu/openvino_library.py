"""OpenVINO where it is installed, imported so that it sends nothing to its makers."""

from __future__ import annotations

import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

#: Package that counts imports of OpenVINO at Google Analytics, unless the user has refused.
_TELEMETRY = "openvino_telemetry"


@lru_cache(maxsize=1)
def why_not() -> str:
    """Return why OpenVINO does not run here, empty if it does."""
    try:
        core().get_property("CPU", "FULL_DEVICE_NAME")
    except ImportError as error:
        return f"OpenVINO cannot be imported ({error})"
    except Exception as error:  # a binary that does not fit this machine fails in its own ways
        return f"OpenVINO does not run here ({type(error).__name__}: {error})"
    return ""


@lru_cache(maxsize=1)
def core() -> Any:
    """Return what compiles graphs, one for the process.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    return library().Core()


@lru_cache(maxsize=1)
def library() -> ModuleType:
    """Import OpenVINO with its telemetry out of reach: it then takes its own stub of it.

    Raises:
        ImportError: it is not installed.
    """
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if before is None:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = before
    module: ModuleType = openvino
    return module
