"""What tests of the examples share: a short recording, and the module that examples import."""

from pathlib import Path

import pytest
from helpers.scripts import load_script

FRAMES = 16


@pytest.fixture(scope="session")
def nav2_client(repository: Path):
    """The module beside the examples that they import by its name."""
    return load_script(repository / "examples" / "nav2_client.py")


@pytest.fixture(scope="session")
def short_room(room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the rendered room, as a TUM folder."""
    folder = tmp_path_factory.mktemp("short_room")
    for name in ("rgb", "depth", "camera.yaml", "groundtruth.txt"):
        (folder / name).symlink_to(room / name)
    for name in ("rgb.txt", "depth.txt"):
        lines = [line for line in (room / name).read_text().splitlines() if line[:1] != "#"]
        (folder / name).write_text("\n".join(lines[:FRAMES]) + "\n")
    return folder
