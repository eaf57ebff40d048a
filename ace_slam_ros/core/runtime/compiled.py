"""Numba, where it is installed: loops compiled to machine code that run without Python's lock.

Every kernel has a twin in NumPy or torch that runs instead where Numba is missing. Compiled code
is kept on disk; the first start after an update compiles anew, which `core/warm_up.py` does ahead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

log = logging.getLogger(__name__)
Kernel = TypeVar("Kernel", bound=Callable[..., Any])
#: Sums may be reordered, for vector instructions; NaN and infinity keep their meaning.
_REORDERED = {"reassoc", "contract", "nsz", "arcp"}

try:
    import numba

    AVAILABLE = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
except ImportError:  # an optional library; a broken one says so at its own import
    AVAILABLE = False
#: All that were made.
_kernels: list[Any] = []


def kernel(function: Kernel) -> Kernel:
    """Compile a function of arrays and numbers when it is first called.

    What it calls must be in the same file: kept machine code is not renewed for changes elsewhere.
    """
    if not AVAILABLE:
        return function
    options: dict[str, Any] = {
        "nogil": True, "error_model": "numpy", "fastmath": _REORDERED}
    try:
        compiled: Kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package nor the home folder can be written to
        log.debug("compiled code of %s is not kept: no folder for it", function.__name__)
        compiled = numba.njit(**options)(function)
    _kernels.append(compiled)
    return compiled


def uncompiled() -> list[str]:
    """Return the kernels that were made so far and never called in this process."""
    return [f"{k.__module__}.{k.__name__}" for k in _kernels if not k.signatures]


def describe() -> str:
    """Return which path runs, for doctor and logs."""
    if AVAILABLE:
        return f"numba {numba.__version__}"
    return "numpy (numba is not installed: several times slower)"
