"""Fixtures for all tests: the repository, the environment, recorded data where it exists."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tum_fr1_xyz() -> Path:
    """A real recorded sequence; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data" / "tum_fr1_xyz"
    if not folder.is_dir():
        pytest.skip(f"no recorded sequence at {folder}")
    return folder
