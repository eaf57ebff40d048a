"""Data sets with lists of stamps and file names: TUM, Bonn, ETH3D, ICL-NUIM, OpenLORIS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ...core.data.camera import Camera
from ...core.data.trajectory import Trajectory
from ...core.errors import CalibrationError, DataError
from ...core.geometry.se3 import invert_pose
from .groundtruth import GroundTruth, read_groundtruth
from .recording import FRAME_NS, Listing, Recording, image_size, read_listing
from .text_lists import numbers, read_list

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

#: Stored units per meter of the TUM benchmark and of those that follow it; of OpenLORIS.
_TUM_UNITS, _MILLIMETERS = 5000.0, 1000.0
#: Source: vision.in.tum.de, RGB-D SLAM Dataset, file formats (calibration by ROS), with the
#: digits of the calibration files.
_FREIBURG = {
    "1": Camera(640, 480, 517.306408, 516.469215, 318.643040, 255.313989,
                (0.262383, -0.953104, -0.005358, 0.002628, 1.163314)),
    "2": Camera(640, 480, 520.908620, 521.007327, 325.141442, 249.701764,
                (0.231222, -0.784899, -0.003257, -0.000105, 0.917205)),
    "3": Camera(640, 480, 535.4, 539.2, 320.1, 247.6),
}
#: Source: the page of the Bonn RGB-D Dynamic Dataset.
_BONN = Camera(640, 480, 542.822841, 542.576870, 315.593520, 237.756098,
               (0.039903, -0.099343, -0.000730, -0.000144, 0.0))
#: Source: the page of ICL-NUIM, whose fy is negative for rows that run upwards; those of its
#: "TUM RGB-D compatible PNGs" run downwards.
_ICL = Camera(640, 480, 481.20, 480.00, 319.50, 239.50)
#: The mirror that turns poses of a world with y up, of rows that run upwards, into ours.
_MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])


def tum_recording(
    path: Path, camera: Camera, calibration: Path, units_per_meter: float | None,
    require_depth: bool = True, layout: str = "TUM",
) -> Recording:
    """Return what `rgb.txt`, `depth.txt` and `groundtruth.txt` of a folder say.

    Raises:
        DataError: a list is missing, malformed or empty.
    """
    color = read_listing(path / "rgb.txt")
    if not color.names:
        raise DataError(f"{path / 'rgb.txt'} lists no image")
    depth = None
    if (path / "depth.txt").is_file():
        depth = read_listing(path / "depth.txt")
    elif require_depth:
        raise DataError(
            f"{path / 'depth.txt'} is missing: an RGB-D sequence lists its depth images there")
    return Recording(layout, color, depth, camera, calibration, units_per_meter,
                     truth=_truth(path / "groundtruth.txt"))


def _truth(path: Path) -> GroundTruth:
    return read_groundtruth(path) if path.is_file() else GroundTruth()


def freiburg_camera(path: Path) -> Camera | None:
    """Return the camera that recorded a sequence of the TUM benchmark, by the folder's name."""
    found = re.search(r"(?:freiburg|fr)([123])(?!\d)", path.resolve().name.lower())
    return None if found is None else _FREIBURG[found.group(1)]


def read_tum_benchmark(path: Path) -> Recording:
    """Read a sequence as the TUM RGB-D benchmark ships it, without calibration."""
    camera = freiburg_camera(path)
    assert camera is not None  # or it would not have been taken for one
    return tum_recording(path, camera, path, _TUM_UNITS, layout="TUM RGB-D benchmark")


def is_bonn(path: Path) -> bool:
    """Tell a sequence of the Bonn RGB-D Dynamic Dataset by its name."""
    return "rgbd_bonn" in path.resolve().name.lower()


def read_bonn(path: Path) -> Recording:
    """Read a sequence of the Bonn RGB-D Dynamic Dataset."""
    return tum_recording(path, _BONN, path, _TUM_UNITS, layout="Bonn RGB-D Dynamic")


def read_eth3d(path: Path) -> Recording:
    """Read a sequence of the ETH3D SLAM benchmark: `calibration.txt` holds fx fy cx cy."""
    file = path / "calibration.txt"
    try:
        fx, fy, cx, cy = (float(v) for v in file.read_text().split()[:4])
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{file}: expected 'fx fy cx cy' ({error})") from error
    listing = read_listing(path / "rgb.txt")
    if not listing.names:
        raise DataError(f"{path / 'rgb.txt'} lists no image")
    camera = Camera(*image_size(path / listing.names[0]), fx, fy, cx, cy)
    return tum_recording(path, camera, file, _TUM_UNITS, layout="ETH3D SLAM")


def icl_truth_file(path: Path) -> Path | None:
    """Return the ground truth of a sequence of ICL-NUIM, whose name tells it."""
    return next(iter(sorted(path.glob("*.gt.freiburg*"))), None)


def read_icl_nuim(path: Path) -> Recording:
    """Read a sequence of ICL-NUIM, "TUM RGB-D compatible PNGs": images and poses have numbers."""
    color, depth = [], []
    for row in read_list(path / "associations.txt").rows:
        fields = numbers(row.rest)
        if len(fields) != 3:
            raise DataError(
                f"{path / 'associations.txt'}:{row.line}: expected 'number depth number rgb'")
        stamp_ns = int(float(row.stamp)) * FRAME_NS
        first, second = fields[0], fields[2]
        color.append((stamp_ns, second if "rgb" in second else first))
        depth.append((stamp_ns, first if "rgb" in second else second))
    truth, file = GroundTruth(), icl_truth_file(path)
    if file is not None:
        truth = _numbered_truth(read_groundtruth(file))
    return Recording("ICL-NUIM", Listing.of(color), Listing.of(depth), _ICL, path, _TUM_UNITS,
                     truth=truth)


def _numbered_truth(truth: GroundTruth) -> GroundTruth:
    """Turn seconds back into numbers of images, and a world with y up into ours."""
    if truth.trajectory is None:
        return truth
    index = np.rint(truth.trajectory.stamps_ns * 1e-9).astype(np.int64)
    poses = _MIRROR @ truth.trajectory.T_map_cam_N44 @ _MIRROR
    return GroundTruth(Trajectory(index * FRAME_NS, poses), truth.dropped)


def read_openloris(path: Path) -> Recording:
    """Read a package of OpenLORIS-Scene: the D435i's color and aligned depth.

    `groundtruth.txt` is of the robot's base; `trans_matrix.yaml` says where the camera is.
    """
    camera = _openloris_camera(path / "sensors.yaml")
    truth, assumptions = _truth(path / "groundtruth.txt"), {}
    if truth.trajectory is not None:
        T_base_cam = _openloris_extrinsic(path / "trans_matrix.yaml")
        if T_base_cam is None:
            assumptions["ground truth"] = (
                "trans_matrix.yaml does not tell where the camera is on base_link: poses are "
                "compared as if they were the camera's")
        else:
            poses = truth.trajectory.T_map_cam_N44 @ T_base_cam
            truth = GroundTruth(Trajectory(truth.trajectory.stamps_ns, poses), truth.dropped)
    return Recording(
        "OpenLORIS-Scene", read_listing(path / "color.txt"),
        read_listing(path / "aligned_depth.txt"), camera, path / "sensors.yaml", _MILLIMETERS,
        truth=truth, assumptions=assumptions, device_names=("OpenLORIS-Scene: D435i",))


_COLOR_FRAME = "d400_color_optical_frame"


def _openloris_camera(file: Path) -> Camera:
    try:
        camera = _opencv_yaml(file)[_COLOR_FRAME]
        fx, cx, fy, cy = (float(v) for v in camera["intrinsics"]["data"])
        d = camera.get("distortion_coefficients", {}).get("data", ())
        return Camera(int(camera["width"]), int(camera["height"]), fx, fy, cx, cy,
                      tuple(float(v) for v in d))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalibrationError(
            f"{file}: no intrinsics (fx cx fy cy) of {_COLOR_FRAME}: {error}") from error


def _openloris_extrinsic(file: Path) -> Float64Array | None:
    """Return T_base_cam (4, 4) along the transforms of a file; None without a way."""
    if not file.is_file():
        return None
    steps: dict[str, dict[str, Float64Array]] = {}
    try:
        for entry in _opencv_yaml(file)["trans_matrix"]:
            parent, child = entry["parent_frame"], entry["child_frame"]
            T_parent_child = np.array(entry["matrix"]["data"], np.float64).reshape(4, 4)
            steps.setdefault(parent, {})[child] = T_parent_child
            steps.setdefault(child, {})[parent] = invert_pose(T_parent_child)
    except (KeyError, TypeError, ValueError) as error:
        raise CalibrationError(f"{file}: no list trans_matrix of frames: {error}") from error
    return _walk(steps, "base_link", _COLOR_FRAME)


def _walk(
    steps: Mapping[str, Mapping[str, Float64Array]], start: str, goal: str
) -> Float64Array | None:
    reached, waiting = {start: np.eye(4)}, [start]
    while waiting:
        here = waiting.pop(0)
        for there, T_here_there in steps.get(here, {}).items():
            if there not in reached:
                reached[there] = reached[here] @ T_here_there
                waiting.append(there)
    return reached.get(goal)


class _OpenCvLoader(yaml.SafeLoader):
    """Reads what OpenCV calls yaml: matrices have a tag of their own."""


def _matrix(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_OpenCvLoader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)


def _opencv_yaml(file: Path) -> Any:
    try:
        lines = file.read_text().splitlines()
        text = "\n".join(line for line in lines if not line.startswith("%"))
        return yaml.load(text, _OpenCvLoader)  # a safe loader of ours
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CalibrationError(f"cannot read {file}: {' '.join(str(error).split())}") from error
