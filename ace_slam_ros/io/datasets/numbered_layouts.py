"""Data sets of numbered images: 7-Scenes, 12-Scenes, ScanNet, Replica, Redwood."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.data.camera import Camera
from ...core.errors import CalibrationError, DataError
from ..registration import Registration
from .groundtruth import clean_matrices
from .recording import FRAME_NS, Recording, image_size, numbered, poses_of, read_matrix

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

_MILLIMETERS = 1000.0
#: The page of 7-Scenes gives 585 px for depth and says that color is not calibrated. The rest is
#: of another Kinect (projet.liris.cnrs.fr/voir, Kinect calibration), as is usual for this set.
_SEVEN_DEPTH = Camera(640, 480, 585.0, 585.0, 319.5, 239.5)
_SEVEN_COLOR = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
_SEVEN_T_COLOR_DEPTH = np.array([
    [9.9996518e-01, 2.6765126e-03, -7.9041012e-03, -2.5558943e-02],
    [-2.7409311e-03, 9.9996303e-01, -8.1504521e-03, 1.0109636e-04],
    [7.8819942e-03, 8.1718329e-03, 9.9993555e-01, 2.0318322e-03], [0.0, 0.0, 0.0, 1.0]])
#: Source: cam_params.json of the Replica renderings of iMAP and NICE-SLAM.
_REPLICA, _REPLICA_UNITS = Camera(1200, 680, 600.0, 600.0, 599.5, 339.5), 6553.5
#: The PrimeSense default, which the Redwood data sets name.
_REDWOOD = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
#: Of color images larger than depth the smaller size counts: more pixels bring no more depth.
_SHRINK_BELOW = 0.9


def read_seven_scenes(path: Path) -> Recording:
    """Read a sequence of 7-Scenes: depth is of a Kinect's infrared camera, and so are poses."""
    color = numbered(path, ".", r"frame-(\d+)\.color\.png")
    depth = numbered(path, ".", r"frame-(\d+)\.depth\.png")
    T_depth_color = np.linalg.inv(_SEVEN_T_COLOR_DEPTH)
    truth = clean_matrices(
        (stamp, None if T is None else T @ T_depth_color) for stamp, T in poses_of(
            color, lambda _, name: read_matrix(path / name.replace(".color.png", ".pose.txt"))))
    return Recording(
        "7-Scenes", color, depth, _SEVEN_COLOR, path, _MILLIMETERS, truth=truth,
        registration=Registration(_SEVEN_DEPTH, _SEVEN_COLOR, _SEVEN_T_COLOR_DEPTH),
        assumptions={"calibration": "7-Scenes has none of its color camera: 525 px, 2.6 cm beside "
                                    "the depth camera, as other Kinects of its kind"})


def scene_of_sequences(path: Path) -> list[str]:
    """Return the sequences of a scene of 7-Scenes, of which one is to be given."""
    return sorted(p.name for p in path.glob("seq-*") if p.is_dir())


def twelve_scenes_info(path: Path) -> Path | None:
    """Return `info.txt` of a scene of 12-Scenes, given the scene or its `data`."""
    for scene in (path, path.parent):
        if (scene / "info.txt").is_file() and (scene / "data").is_dir():
            return scene / "info.txt"
    return None


def read_twelve_scenes(path: Path) -> Recording:
    """Read a scene of 12-Scenes (or another one written by the same program)."""
    file = twelve_scenes_info(path)
    assert file is not None  # or it would not have been taken for one
    entries = dict(
        line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    info = {key.strip(): value.split() for key, value in entries.items()}
    below = "data" if path == file.parent else "."
    color = numbered(path, below, r"frame-(\d+)\.color\.(?:jpg|png)")
    depth = numbered(path, below, r"frame-(\d+)\.depth\.(?:png|pgm)")
    truth = clean_matrices(poses_of(color, lambda _, name: read_matrix(
        path / re.sub(r"\.color\.\w+$", ".pose.txt", name))))
    try:
        camera, registration, shrink = _matched(
            _info_camera(info, "color"), _info_camera(info, "depth"))
        units = float(info["m_depthShift"][0])
    except (KeyError, ValueError, IndexError) as error:
        raise CalibrationError(f"{file}: {error} is missing or wrong") from error
    return Recording("12-Scenes", color, depth, camera, file, units, truth=truth,
                     registration=registration, shrink=shrink)


def _info_camera(info: dict[str, list[str]], kind: str) -> Camera:
    width, height = (int(info[f"m_{kind}{side}"][0]) for side in ("Width", "Height"))
    K = np.array([float(v) for v in info[f"m_calibration{kind.capitalize()}Intrinsic"]])
    return Camera(width, height, K[0], K[5], K[2], K[6])


def _matched(color: Camera, depth: Camera) -> tuple[Camera, Registration | None, float]:
    """Shrink color to the size of depth, and register depth where it is not the same camera.

    Both are taken from one place, as these data sets say.

    Returns:
        (color camera as delivered, registration or None, factor by which color shrinks).
    """
    shrink = depth.width / color.width
    shrink = shrink if shrink < _SHRINK_BELOW else 1.0
    small = color.scaled(shrink) if shrink != 1.0 else color
    same = (small.width, small.height) == (depth.width, depth.height) and np.allclose(
        small.K_33, depth.K_33, rtol=0.002, atol=0.5)
    registration = None if same else Registration(depth, small, np.eye(4))
    return small, registration, shrink


def scannet_root(path: Path) -> Path | None:
    """Return the folder that holds `color`, `depth` and `pose` of an exported scan of ScanNet."""
    for root in (path, path / "frames"):
        if _intrinsic(root, "color") and (root / "color").is_dir() and (root / "depth").is_dir():
            return root
    return None


def _intrinsic(root: Path, kind: str) -> Path | None:
    name = f"intrinsic_{kind}.txt"
    return next((p for p in (root / "intrinsic" / name, root / name) if p.is_file()), None)


def read_scannet(path: Path) -> Recording:
    """Read a scan of ScanNet as its `SensReader` exports it."""
    root = scannet_root(path)
    assert root is not None  # or it would not have been taken for one
    color = numbered(path, str((root / "color").relative_to(path)), r"(\d+)\.(?:jpg|png)")
    depth = numbered(path, str((root / "depth").relative_to(path)), r"(\d+)\.png")
    if not color.names or not depth.names:
        raise DataError(f"{root} has no numbered images in color and depth")
    camera, registration, shrink = _matched(
        _scannet_camera(root, "color", path / color.names[0]),
        _scannet_camera(root, "depth", path / depth.names[0]))
    truth = clean_matrices(poses_of(color, lambda _, name: read_matrix(
        root / "pose" / f"{Path(name).stem}.txt")))
    return Recording("ScanNet", color, depth, camera, root, _MILLIMETERS, truth=truth,
                     registration=registration, shrink=shrink)


def _scannet_camera(root: Path, kind: str, image: Path) -> Camera:
    file = _intrinsic(root, kind) or _intrinsic(root, "color")
    K = None if file is None else read_matrix(file)
    if K is None:
        raise CalibrationError(f"{file}: a matrix of 4x4 numbers is expected")
    return Camera(*image_size(image), K[0, 0], K[1, 1], K[0, 2], K[1, 2])


def read_replica(path: Path) -> Recording:
    """Read a rendering of Replica as NICE-SLAM ships it."""
    color = numbered(path, "results", r"frame(\d+)\.(?:jpg|png)")
    depth = numbered(path, "results", r"depth(\d+)\.png")
    camera, units, file = _REPLICA, _REPLICA_UNITS, path / "traj.txt"
    for parameters in (path / "cam_params.json", path.parent / "cam_params.json"):
        if parameters.is_file():
            camera, units, file = *_replica_camera(parameters), parameters
            break
    rows = np.loadtxt(path / "traj.txt", ndmin=2)
    if rows.shape[1:] != (16,):
        raise DataError(f"{path / 'traj.txt'}: 16 numbers of a 4x4 matrix a line are expected")
    truth = clean_matrices(
        (i * FRAME_NS, row.reshape(4, 4)) for i, row in enumerate(rows))
    return Recording("Replica (NICE-SLAM)", color, depth, camera, file, units, truth=truth)


def _replica_camera(file: Path) -> tuple[Camera, float]:
    try:
        values = json.loads(file.read_text())["camera"]
        fx, fy, cx, cy = (float(values[key]) for key in ("fx", "fy", "cx", "cy"))
        return Camera(int(values["w"]), int(values["h"]), fx, fy, cx, cy), float(values["scale"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CalibrationError(f"{file}: w h fx fy cx cy scale are expected ({error})") from error


def redwood_folders(path: Path) -> tuple[Path, Path] | None:
    """Return the folders of color and of depth of a Redwood sequence; None if it is none."""
    if _redwood_log(path) is None:
        return None
    folders = sorted(p for p in path.iterdir() if p.is_dir())
    colors = [p for p in folders if re.fullmatch(r"(.*-)?(color|image|rgb)", p.name)]
    depths = [p for p in folders if re.fullmatch(r"(.*-)?depth(-clean|-simulated)?", p.name)]
    return (colors[0], depths[0]) if colors and depths else None


def _redwood_log(path: Path) -> Path | None:
    return next(iter([*sorted(path.glob("*.log")), *sorted(path.glob("*-traj.txt"))]), None)


def read_redwood(path: Path) -> Recording:
    """Read a sequence of the Redwood data sets: images, and a log of poses of five lines each."""
    folders, log = redwood_folders(path), _redwood_log(path)
    assert folders is not None and log is not None  # or it would not have been taken for one
    pattern = r"0*(\d+?)(?:-\d+)?\.(?:jpg|png)"
    color, depth = (numbered(path, folder.name, pattern) for folder in folders)
    truth = clean_matrices(_log_poses(log, color.stamps_ns.tolist()))
    return Recording(
        "Redwood", color, depth, _REDWOOD, path, _MILLIMETERS, truth=truth,
        assumptions={"calibration": "Redwood names the default of its camera: 525 px"})


def _log_poses(file: Path, stamps_ns: list[int]) -> list[tuple[int, Float64Array | None]]:
    """Read `i i n` and a 4x4 matrix again and again; the n-th pose is of the n-th image."""
    lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    found: list[tuple[int, Float64Array | None]] = []
    for i, stamp_ns in enumerate(stamps_ns[: len(lines) // 5]):
        try:
            matrix = np.array([[float(v) for v in row] for row in lines[5 * i + 1:5 * i + 5]])
        except ValueError:
            matrix = np.empty(0)
        found.append((stamp_ns, matrix if matrix.shape == (4, 4) else None))
    return found
