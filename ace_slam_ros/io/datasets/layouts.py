"""Which layout a folder has: one table, the first that fits counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DataError
from .numbered_layouts import (
    read_redwood,
    read_replica,
    read_scannet,
    read_seven_scenes,
    read_twelve_scenes,
    redwood_folders,
    scannet_root,
    scene_of_sequences,
    twelve_scenes_info,
)
from .tum_layouts import (
    freiburg_camera,
    icl_truth_file,
    is_bonn,
    read_bonn,
    read_eth3d,
    read_icl_nuim,
    read_openloris,
    read_tum_benchmark,
)

if TYPE_CHECKING:
    from .recording import Recording


@dataclass(frozen=True)
class Layout:
    """A layout of a data set.

    Attributes:
        name: as people call it.
        files: what it is known by, for people.
        fits: tells whether a folder has it.
        read: reads such a folder.
    """

    name: str
    files: str
    fits: Callable[[Path], bool]
    read: Callable[[Path], Recording]


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda path: all((path / name).exists() for name in names)


LAYOUTS = (
    Layout("Bonn RGB-D Dynamic", "rgb.txt in a folder rgbd_bonn_*",
           lambda p: _has("rgb.txt", "depth.txt")(p) and is_bonn(p), read_bonn),
    Layout("TUM RGB-D benchmark", "rgb.txt in a folder *freiburg1* to 3",
           lambda p: _has("rgb.txt", "depth.txt")(p) and freiburg_camera(p) is not None,
           read_tum_benchmark),
    Layout("ETH3D SLAM", "rgb.txt, calibration.txt", _has("rgb.txt", "calibration.txt"),
           read_eth3d),
    Layout("ICL-NUIM", "associations.txt, *.gt.freiburg",
           lambda p: _has("associations.txt", "rgb", "depth")(p) and (
               icl_truth_file(p) is not None or "frei_png" in p.resolve().name), read_icl_nuim),
    Layout("OpenLORIS-Scene", "color.txt, aligned_depth.txt, sensors.yaml",
           _has("color.txt", "aligned_depth.txt", "sensors.yaml"), read_openloris),
    Layout("12-Scenes", "info.txt, data/frame-*.color.jpg",
           lambda p: twelve_scenes_info(p) is not None, read_twelve_scenes),
    Layout("7-Scenes", "frame-*.color.png, frame-*.depth.png, frame-*.pose.txt",
           lambda p: next(p.glob("frame-*.color.png"), None) is not None, read_seven_scenes),
    Layout("ScanNet", "color, depth, pose, intrinsic/intrinsic_color.txt",
           lambda p: scannet_root(p) is not None, read_scannet),
    Layout("Replica (NICE-SLAM)", "results/frame*.jpg, results/depth*.png, traj.txt",
           _has("results", "traj.txt"), read_replica),
    Layout("Redwood", "color or image, depth, *.log or *-traj.txt",
           lambda p: redwood_folders(p) is not None, read_redwood),
)


def layout_of(path: Path) -> Layout | None:
    """Return the layout of a folder; None when it has none of these.

    Raises:
        DataError: the folder holds several sequences, which are named.
    """
    if not path.is_dir():
        return None
    found = next((layout for layout in LAYOUTS if layout.fits(path)), None)
    if found is None and (inner := scene_of_sequences(path)):
        raise DataError(f"{path} holds several sequences: give one of {', '.join(inner)}")
    return found
