"""Environment variables that keep numerical libraries from spinning; import before numpy."""

import os


def calm_library_threads() -> None:
    """Set what the user has not set: one BLAS thread, and OpenMP threads that sleep while waiting.

    The matrices here are small: a second OpenBLAS thread only spins and takes a core from the
    other node, and spinning OpenMP threads of several processes starve each other.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
