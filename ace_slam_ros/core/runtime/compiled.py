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

    What it calls must be in the same file: kept machine code is renewed when that file changes, or
    a constant that it takes from another one, but not for other functions elsewhere.
    """
    if not AVAILABLE:
        return function
    options: dict[str, Any] = {
        "nogil": True, "error_model": "numpy", "fastmath": _REORDERED}
    try:
        compiled: Any = numba.njit(cache=True, **options)(function)
        _renew_for_constants(compiled, function.__globals__)
    except RuntimeError:  # neither the package nor the home folder can be written to
        log.debug("compiled code of %s is not kept: no folder for it", function.__name__)
        compiled = numba.njit(**options)(function)
    _kernels.append(compiled)
    made: Kernel = compiled
    return made


def _renew_for_constants(compiled: Any, names: dict[str, Any]) -> None:
    """Have machine code found again only for the same constants, which are compiled into it.

    Numba looks at the time of the file alone. Where a release of it keeps code otherwise, that is
    left as it is: tests compare every kernel with its twin.
    """
    constants = tuple(sorted(
        (name, value) for name, value in names.items()
        if isinstance(value, (int, float)) and not name.startswith("__")))
    kept: Any = getattr(compiled, "_cache", None)
    key = getattr(kept, "_index_key", None)
    if key is not None:
        kept._index_key = lambda signature, target: (*key(signature, target), constants)


def signatures() -> dict[str, int]:
    """Return for how many kinds of arguments each kernel was compiled, or read from the disk."""
    return {f"{k.__module__}.{k.__name__}": len(k.signatures) for k in _kernels}


def describe() -> str:
    """Return which path runs, for doctor and logs."""
    if AVAILABLE:
        return f"numba {numba.__version__}"
    return "numpy (numba is not installed: several times slower)"
