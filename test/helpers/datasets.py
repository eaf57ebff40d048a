"""Small made folders in the layouts of public data sets: a wall and a box, three images."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from ace_slam_ros.core.geometry.se3 import exp_se3

COUNT = 3
#: Where the camera truly is at each image: to the right, up (y down) and turned a little.
POSES = [exp_se3(np.array([0.1 * n, -0.05 * n, 0.02 * n, 0.01 * n, 0.02 * n, 0.03 * n]))
         for n in range(COUNT)]
NEAR_M, FAR_M = 1.0, 2.0


def depth_m(size: tuple[int, int]) -> np.ndarray:
    """A wall, and a box before it."""
    found = np.full(size[::-1], FAR_M)
    found[size[1] // 4: size[1] // 2, size[0] // 4: size[0] // 2] = NEAR_M
    return found


def write_images(
    color: list[Path], depth: list[Path], units: float, size: tuple[int, int],
    depth_size: tuple[int, int] | None = None, none: int = 0,
) -> None:
    """Write color and depth images; `none` is what the layout has for no measurement."""
    for number, (image_file, depth_file) in enumerate(zip(color, depth, strict=True)):
        image = np.full((*size[::-1], 3), 40 * number + 10, np.uint8)
        stored = np.rint(depth_m(depth_size or size) * units).astype(np.uint16)
        stored[:2] = none
        for path, pixels in ((image_file, image), (depth_file, stored)):
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)


def matrix(T_44: np.ndarray) -> str:
    return "\n".join(" ".join(f"{v:.9f}" for v in row) for row in T_44) + "\n"


def quaternion_row(stamp: str, T_44: np.ndarray) -> str:
    from ace_slam_ros.core.geometry.se3 import quaternion_from_pose

    numbers = [*T_44[:3, 3], *quaternion_from_pose(T_44)]
    return " ".join([stamp, *(f"{v:.9f}" for v in numbers)])


def tum_like(path: Path, units: float = 5000.0, size: tuple[int, int] = (640, 480)) -> Path:
    """`rgb.txt`, `depth.txt`, `groundtruth.txt`, as TUM, Bonn and ETH3D have them."""
    stamps = [f"{1_311_868_164 + n / 30:.6f}" for n in range(COUNT)]
    names = {kind: [f"{kind}/{s}.png" for s in stamps] for kind in ("rgb", "depth")}
    write_images(*([path / n for n in names[k]] for k in ("rgb", "depth")), units, size)
    for kind in ("rgb", "depth"):
        rows = "".join(f"{s} {n}\n" for s, n in zip(stamps, names[kind], strict=True))
        (path / f"{kind}.txt").write_text(f"# {kind} images\n{rows}")
    rows = "\n".join(quaternion_row(s, T) for s, T in zip(stamps, POSES, strict=True))
    (path / "groundtruth.txt").write_text(f"# ground truth trajectory\n{rows}\n")
    return path


def eth3d(path: Path) -> Path:
    tum_like(path, size=(64, 48))
    (path / "calibration.txt").write_text("72.6 72.5 35.6 18.6\n")
    return path


def icl_nuim(path: Path) -> Path:
    """Numbers for stamps; a world whose y axis is up, so that its poses are mirrored."""
    names = {kind: [f"{kind}/{n}.png" for n in range(COUNT)] for kind in ("rgb", "depth")}
    write_images(*([path / n for n in names[k]] for k in ("rgb", "depth")), 5000.0, (640, 480))
    (path / "associations.txt").write_text("".join(
        f"{n} depth/{n}.png {n} rgb/{n}.png\n" for n in range(COUNT)))
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    (path / "livingRoom0.gt.freiburg").write_text("\n".join(
        quaternion_row(str(n), mirror @ T @ mirror) for n, T in enumerate(POSES)))
    return path


#: Where the camera of `openloris` is on its robot.
T_BASE_CAM = exp_se3(np.array([0.2, 0.1, 0.5, -1.2, 1.2, -1.2]))


def _opencv(matrix_44: np.ndarray) -> str:
    rows, columns = matrix_44.shape
    numbers = ", ".join(f"{v:.12f}" for v in matrix_44.reshape(-1))
    inside = "\n".join(" " * 9 + line for line in (
        f"rows: {rows}", f"cols: {columns}", "dt: d", f"data: [ {numbers} ]"))
    return f"!!opencv-matrix\n{inside}\n"


def openloris(path: Path) -> Path:
    stamps = [f"{1_560_004_885 + n / 30:.6f}" for n in range(COUNT)]
    names = {k: [f"{k}/{s}.png" for s in stamps] for k in ("color", "aligned_depth")}
    write_images(*([path / n for n in v] for v in names.values()), 1000.0, (64, 48))
    for kind, listed in names.items():
        (path / f"{kind}.txt").write_text("#Time Path\n" + "".join(
            f"{s} {n}\n" for s, n in zip(stamps, listed, strict=True)))
    (path / "sensors.yaml").write_text(
        "%YAML:1.0\nd400_color_optical_frame:\n   width: 64\n   height: 48\n"
        f"   intrinsics: {_opencv(np.array([[61.0, 32.0, 62.0, 24.0]]))}"
        f"   distortion_coefficients: {_opencv(np.zeros((1, 5)))}")
    T_base_laser = exp_se3(np.array([0.1, 0, 0.2, 0, 0, 0.3]))
    steps = (("base_link", "laser", T_base_laser),
             ("d400_color_optical_frame", "laser", np.linalg.inv(T_BASE_CAM) @ T_base_laser))
    (path / "trans_matrix.yaml").write_text("%YAML:1.0\ntrans_matrix:\n" + "".join(
        f"   -\n      parent_frame: {a}\n      child_frame: {b}\n      matrix: {_opencv(T)}"
        for a, b, T in steps))
    T_cam_base = np.linalg.inv(T_BASE_CAM)
    (path / "groundtruth.txt").write_text("#Time px py pz qx qy qz qw\n" + "\n".join(
        quaternion_row(s, T @ T_cam_base) for s, T in zip(stamps, POSES, strict=True)))
    return path


def seven_scenes(path: Path, T_color_depth: np.ndarray) -> Path:
    stems = [path / f"frame-{n:06d}" for n in range(COUNT)]
    write_images([Path(f"{s}.color.png") for s in stems], [Path(f"{s}.depth.png") for s in stems],
                 1000.0, (640, 480), none=65535)
    for stem, T in zip(stems, POSES, strict=True):
        Path(f"{stem}.pose.txt").write_text(matrix(T @ T_color_depth))
    return path


def twelve_scenes(path: Path) -> Path:
    stems = [path / "data" / f"frame-{n:06d}" for n in range(COUNT)]
    write_images([Path(f"{s}.color.jpg") for s in stems], [Path(f"{s}.depth.png") for s in stems],
                 1000.0, (130, 97), (64, 48))
    for stem, T in zip(stems, POSES, strict=True):
        Path(f"{stem}.pose.txt").write_text(matrix(T))
    Path(f"{stems[-1]}.pose.txt").write_text(" ".join(["-1.#INF"] * 16))
    (path / "info.txt").write_text(
        "m_versionNumber = 4\nm_sensorName = StructureSensor\nm_colorWidth = 130\n"
        "m_colorHeight = 97\nm_depthWidth = 64\nm_depthHeight = 48\nm_depthShift = 1000\n"
        "m_calibrationColorIntrinsic = 117.0 0 64.9 0 0 116.0 48.4 0 0 0 1 0 0 0 0 1 \n"
        "m_calibrationDepthIntrinsic = 57.2 0 32 0 0 57.8 24 0 0 0 1 0 0 0 0 1 \n")
    return path


def scannet(path: Path) -> Path:
    names = [[path / kind / f"{n}.{suffix}" for n in range(COUNT)]
             for kind, suffix in (("color", "jpg"), ("depth", "png"))]
    write_images(*names, 1000.0, (130, 97), (64, 48))
    (path / "pose").mkdir()
    (path / "intrinsic").mkdir()
    for n, T in enumerate(POSES):
        (path / "pose" / f"{n}.txt").write_text(matrix(T))
    (path / "pose" / "2.txt").write_text(matrix(np.full((4, 4), -np.inf)))
    for kind, values in (("color", (117.0, 117.0, 64.9, 48.4)), ("depth", (57.2, 57.2, 32, 24))):
        K = np.eye(4)
        K[0, 0], K[1, 1], K[0, 2], K[1, 2] = values
        (path / "intrinsic" / f"intrinsic_{kind}.txt").write_text(matrix(K))
    return path


def replica(path: Path) -> Path:
    names = [[path / "results" / f"{kind}{n:06d}.{suffix}" for n in range(COUNT)]
             for kind, suffix in (("frame", "jpg"), ("depth", "png"))]
    write_images(*names, 6553.5, (60, 34))
    (path / "traj.txt").write_text("".join(
        " ".join(f"{v:.9e}" for v in T.reshape(-1)) + "\n" for T in POSES))
    (path.parent / "cam_params.json").write_text(json.dumps({"camera": {
        "w": 60, "h": 34, "fx": 30.0, "fy": 30.0, "cx": 29.5, "cy": 16.5, "scale": 6553.5}}))
    return path


def redwood(path: Path) -> Path:
    names = [[path / f"livingroom1-{kind}" / f"{n:05d}.{suffix}" for n in range(COUNT)]
             for kind, suffix in (("color", "jpg"), ("depth-clean", "png"))]
    write_images(*names, 1000.0, (640, 480))
    (path / "livingroom1-traj.txt").write_text("".join(
        f"{n}\t{n}\t{n + 1}\n{matrix(T)}" for n, T in enumerate(POSES)))
    return path
