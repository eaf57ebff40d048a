"""Writes a world as a TUM-layout folder: rgb/, depth/, lists, ground truth and camera.yaml."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..camera import Camera
from ..errors import DataError
from ..trajectory import Trajectory, stamp_to_text, write_tum
from .worlds import SynthFrame, make_world

DEPTH_SCALE = 5000.0
_JPEG_QUALITY = 92


def write_sequence(
    out: Path, world: str, seed: int, frames: int | None = None, progress: bool = False
) -> Path:
    """Render a world into a folder that every TUM reader understands.

    Args:
        out: folder to write; existing files of the same names are replaced.
        world: one of `WORLD_NAMES`.
        seed: world seed.
        frames: number of frames, the world's own number when None.
        progress: show a progress bar on stderr.

    Returns:
        The folder.

    Raises:
        ConfigError: the world is unknown, or the seed is negative.
        DataError: fewer than one frame is asked for, or the folder cannot be written.
    """
    if frames is not None and frames < 1:
        raise DataError(f"cannot write {frames} frames: ask for at least one")
    made = make_world(world, seed)
    total = made.default_frames if frames is None else frames
    try:
        for name in ("rgb", "depth"):
            (out / name).mkdir(parents=True, exist_ok=True)
        lines: dict[str, list[str]] = {"rgb": [], "depth": []}
        stamps, poses = [], []
        for item in tqdm(made.frames(total), total=total, disable=not progress, unit="frame"):
            stamp = stamp_to_text(item.frame.stamp_ns)
            for name, path in _write_images(out, stamp, item).items():
                lines[name].append(f"{stamp} {path}")
            stamps.append(item.frame.stamp_ns)
            poses.append(item.T_world_cam_44)
        for name, rows in lines.items():
            (out / f"{name}.txt").write_text("\n".join(["# timestamp filename", *rows]) + "\n")
        write_tum(out / "groundtruth.txt", Trajectory(np.array(stamps), np.stack(poses)))
        (out / "camera.yaml").write_text(_camera_yaml(made.camera, world, seed))
    except OSError as error:
        raise DataError(f"cannot write {out}: {error}; choose a writable folder") from error
    return out


def _write_images(out: Path, stamp: str, item: SynthFrame) -> dict[str, str]:
    """Write one JPEG and one depth PNG; return their paths relative to the folder."""
    depth_m = item.frame.depth_m
    assert depth_m is not None
    files = {"rgb": f"rgb/{stamp}.jpg", "depth": f"depth/{stamp}.png"}
    bgr = cv2.cvtColor(item.frame.image, cv2.COLOR_RGB2BGR)
    units = np.rint(depth_m * np.float32(DEPTH_SCALE)).astype(np.uint16)
    done = cv2.imwrite(str(out / files["rgb"]), bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    done &= cv2.imwrite(str(out / files["depth"]), units, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise DataError(f"cannot write images into {out}: is the disk full?")
    return files


def _camera_yaml(camera: Camera, world: str, seed: int) -> str:
    distortion = ", ".join(str(d) for d in camera.distortion or (0.0,) * 5)
    return (
        f"# Synthetic world '{world}', seed {seed}; ground truth is exact.\n"
        f"width: {camera.width}\nheight: {camera.height}\n"
        f"fx: {camera.fx}\nfy: {camera.fy}\ncx: {camera.cx}\ncy: {camera.cy}\n"
        f"distortion_model: {camera.distortion_model}\nd: [{distortion}]\n"
        f"depth_scale: {DEPTH_SCALE}   # depth PNG value / depth_scale = metres\n"
    )
