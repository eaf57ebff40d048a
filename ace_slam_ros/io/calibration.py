"""Cameras from calibration data: ROS `CameraInfo` fields and `camera.yaml` files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..core.data.camera import Camera
from ..core.errors import CalibrationError

log = logging.getLogger(__name__)

#: Stored depth units per meter of the TUM benchmark.
TUM_DEPTH_SCALE = 5000.0

_EXAMPLE = (
    "{width: 640, height: 480, fx: 525.0, fy: 525.0, cx: 319.5, cy: 239.5, "
    "distortion_model: plumb_bob, d: [0, 0, 0, 0, 0], depth_scale: 5000.0}"
)


#: A principal point is this near to the middle of its image, as a share of the size.
_MIDDLE = (0.3, 0.7)


def camera_from_info(
    width: int, height: int, k: Sequence[float], d: Sequence[float], distortion_model: str,
    binning_x: int = 0, binning_y: int = 0, roi: tuple[int, int, int, int] = (0, 0, 0, 0),
    image_size: tuple[int, int] | None = None,
) -> Camera:
    """Make the camera of the images that belong to a `CameraInfo`.

    Args:
        width: full sensor width in pixels.
        height: full sensor height in pixels.
        k: 9 numbers of the row-major calibration matrix.
        d: lens distortion coefficients.
        distortion_model: what they mean, see `Camera`.
        binning_x: pixels merged per column; 0 means 1.
        binning_y: pixels merged per row; 0 means 1.
        roi: (x_offset, y_offset, width, height) in full-resolution pixels; all 0 = full.
        image_size: (width, height) of the delivered image, which counts where the message says
            0x0, as some drivers do.

    Returns:
        The camera of the delivered image: cropped to the region of interest, then binned.

    Raises:
        CalibrationError: the intrinsics are zero, not finite or incomplete, or no size is known
            that fits them.
    """
    if len(k) != 9 or not np.any(np.asarray(k, np.float64)):
        raise CalibrationError(
            "camera_info holds no calibration (K is all zero, or P for a topic image_rect): "
            "calibrate the camera, or set the driver's camera_info_url"
        )
    bin_x, bin_y = max(int(binning_x), 1), max(int(binning_y), 1)
    if not (width and height) and image_size is not None:
        width, height = image_size[0] * bin_x, image_size[1] * bin_y
        _check_middle(width, height, float(k[2]) - roi[0], float(k[5]) - roi[1])
    camera = Camera(
        int(width), int(height), float(k[0]), float(k[4]), float(k[2]), float(k[5]),
        tuple(float(v) for v in d), distortion_model,
    )
    _check_inside(camera)
    x_offset, y_offset, roi_width, roi_height = (int(v) for v in roi)
    camera = replace(
        camera, width=roi_width or camera.width, height=roi_height or camera.height,
        cx=camera.cx - x_offset, cy=camera.cy - y_offset,
    )
    return replace(
        camera, width=camera.width // bin_x, height=camera.height // bin_y,
        fx=camera.fx / bin_x, fy=camera.fy / bin_y,
        cx=(camera.cx + 0.5) / bin_x - 0.5, cy=(camera.cy + 0.5) / bin_y - 0.5,
    )


def _check_middle(width: int, height: int, cx: float, cy: float) -> None:
    """Refuse intrinsics without a size that cannot be those of an image of this size."""
    low, high = _MIDDLE
    if not (low * width < cx < high * width and low * height < cy < high * height):
        raise CalibrationError(
            f"camera_info says no size, and its principal point ({cx:g}, {cy:g}) is far from the "
            f"middle of the {width}x{height} image: K seems to be of another resolution; set "
            "width and height in the driver's calibration")


def _check_inside(camera: Camera) -> None:
    """Refuse a principal point outside of the whole image: nothing would be where it seems."""
    if not (0 < camera.cx < camera.width and 0 < camera.cy < camera.height):
        raise CalibrationError(
            f"the principal point ({camera.cx:g}, {camera.cy:g}) lies outside of the "
            f"{camera.width}x{camera.height} image: the calibration is of another resolution, or "
            "of another camera; calibrate at the resolution that is streamed")


def _warn_off_middle(path: Path, camera: Camera) -> None:
    """Say that intrinsics may be of another resolution: poses are wrong then, and look sure."""
    try:
        _check_middle(camera.width, camera.height, camera.cx, camera.cy)
    except CalibrationError:
        log.warning(
            "%s: the principal point (%g, %g) is far from the middle of the %dx%d image: are fx, "
            "fy, cx and cy of another resolution? Poses are wrong then; cropped images may be so",
            path, camera.cx, camera.cy, camera.width, camera.height)


def has_size(info: Any) -> bool:
    """Tell whether a `CameraInfo` message says of which image size it is."""
    return bool(info.width and info.height)


def has_calibration(info: Any) -> bool:
    """Tell whether a `CameraInfo` message was filled in at all."""
    return bool(info.width or np.any(np.asarray(info.k, np.float64)))


def camera_from_message(info: Any, image_size: tuple[int, int] | None = None) -> Camera:
    """Make the camera of the images that belong to a `CameraInfo` message, live or of a bag.

    Args:
        info: the message.
        image_size: (width, height) of the images, which counts where the message says 0x0.

    Raises:
        CalibrationError: the intrinsics are zero, not finite or incomplete, or no size is known
            that fits them.
    """
    roi = info.roi
    return camera_from_info(
        info.width, info.height, info.k, info.d, info.distortion_model, info.binning_x,
        info.binning_y, (roi.x_offset, roi.y_offset, roi.width, roi.height), image_size)


def known_camera(info: Any, image_size: tuple[int, int]) -> Camera | None:
    """Do as `camera_from_message`; None when the message says nothing that can be used.

    An image size of zeros is not known.
    """
    try:
        return camera_from_message(info, image_size if all(image_size) else None)
    except CalibrationError:
        return None


def is_rectified(color_topic: str) -> bool:
    """Tell whether the images of a topic are straightened already, as image_proc names them."""
    return "image_rect" in color_topic


def info_of_stream(info: Any, color_topic: str) -> Any:
    """Turn a `CameraInfo` message, in place, into that of the images on `color_topic`.

    One message serves the raw and the rectified stream: K and D are the lens, P the pinhole of
    the rectified images.
    """
    if is_rectified(color_topic):
        info.k = np.array(info.p, np.float64).reshape(3, 4)[:, :3].reshape(9)
        info.d, info.distortion_model = np.empty(0), "plumb_bob"
    return info


def read_camera_yaml(path: Path) -> tuple[Camera, float | None]:
    """Read a `camera.yaml`: (camera with distortion, stored depth units per meter).

    The units are None where the file does not say.

    Raises:
        CalibrationError: the file is missing, not yaml, or a value is missing or impossible.
    """
    try:
        tree = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise CalibrationError(
            f"{path} is missing: write the color camera's calibration there, e.g. {_EXAMPLE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise CalibrationError(f"{path} is not yaml: {reason}") from error
    if not isinstance(tree, dict):
        raise CalibrationError(f"{path} holds no calibration, write e.g. {_EXAMPLE}")
    values: dict[str, float] = {}
    for key in ("width", "height", "fx", "fy", "cx", "cy"):
        values[key] = _number(path, tree, key)
    try:
        coefficients = tuple(float(v) for v in tree.get("d") or ())
        camera = Camera(
            int(values["width"]), int(values["height"]), values["fx"], values["fy"],
            values["cx"], values["cy"], coefficients, str(tree.get("distortion_model") or ""),
        )
        _check_inside(camera)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{path}: d must be a list of numbers ({error})") from error
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error
    _warn_off_middle(path, camera)
    if tree.get("depth_scale") is None:
        return camera, None
    scale = _number(path, tree, "depth_scale")
    if not (np.isfinite(scale) and scale > 0.0):
        raise CalibrationError(f"{path}: depth_scale={scale} is not positive")
    return camera, scale


def _number(path: Path, tree: dict[str, Any], key: str) -> float:
    value = tree.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CalibrationError(f"{path}: '{key}' must be a number, as in {_EXAMPLE}")
    if key in ("width", "height") and value != round(min(max(value, 0), 1e6)):
        raise CalibrationError(f"{path}: {key}={value} is no image size in pixels")
    return float(value)


def write_camera_yaml(path: Path, camera: Camera, depth_scale: float) -> None:
    """Write a `camera.yaml` that `read_camera_yaml` reads back exactly."""
    tree = {
        "width": camera.width, "height": camera.height, "fx": camera.fx, "fy": camera.fy,
        "cx": camera.cx, "cy": camera.cy, "distortion_model": camera.distortion_model,
        "d": list(camera.distortion), "depth_scale": depth_scale,
    }
    path.write_text(yaml.safe_dump(tree, sort_keys=False, default_flow_style=None))
