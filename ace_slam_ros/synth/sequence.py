"""Writes a world as a folder in TUM layout, with exact ground truth."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from ..core.errors import DataError
from ..io.tum import write_tum_folder
from .worlds import make_world

_JPEG_QUALITY = 92


def write_sequence(
    out: Path, world: str, seed: int, frames: int | None = None, progress: bool = False,
    motion: str = "calm",
) -> Path:
    """Render a world into a new folder; it appears when complete.

    Args:
        out: folder to create.
        world: one of `WORLD_NAMES`.
        seed: world seed.
        frames: number of frames, the world's own number when None.
        progress: show a progress bar on stderr.
        motion: of the camera, one of `MOTION_NAMES`.

    Returns:
        The folder.

    Raises:
        ConfigError: world or motion is unknown, or the seed is negative.
        DataError: fewer than one frame is asked for, or the folder exists or cannot be written.
    """
    if frames is not None and frames < 1:
        raise DataError(f"cannot write {frames} frames: ask for at least one")
    made = make_world(world, seed, motion=motion)
    total = made.default_frames if frames is None else frames
    rendered = tqdm(made.frames(total), total=total, disable=not progress, unit="frame")
    images = (item.frame for item in rendered)
    write_tum_folder(out, images, made.trajectory(total), made.camera,
                     jpeg_quality=_JPEG_QUALITY)
    return out
