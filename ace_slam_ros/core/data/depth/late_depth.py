"""Depth that was taken before or after the color image, brought to the time of that.

Cameras that do not take both at once (Kinect, Xtion, many stereo cameras with a free running color
camera) stamp them by up to half a frame apart. Half a meter per second and 15 ms are 8 mm, and a
turn of 60 degrees per second moves the depth image by 8 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.compiled import AVAILABLE, kernel

if TYPE_CHECKING:
    from ...geometry.arrays import Float32Image, Float64Array
    from ..camera import Camera
    from ..frame import Frame

#: Depth that is nearer in time stays as it is; what is farther is no pair.
_LEAST_S, _LARGEST_S = 0.001, 0.05
#: Every so many-th pixel tells the depth to go by where none is measured.
_SAMPLED = 16


def at_color_time(frame: Frame, twist_6: Float64Array | None) -> Frame:
    """Return a frame whose depth is as it was when the color image was taken.

    Args:
        frame: whose `depth_late_s` tells when its depth was taken.
        twist_6: velocity of the camera in its own frame, m/s and rad/s; None = not known, then
            the frame stays as it is.
    """
    late_s = frame.depth_late_s
    if twist_6 is None or frame.depth_m is None or not _LEAST_S <= abs(late_s) <= _LARGEST_S:
        return frame
    return frame.with_depth(moved_depth(frame.depth_m, frame.camera, twist_6 * late_s))


def moved_depth(depth_m: Float32Image, camera: Camera, motion_6: Float64Array) -> Float32Image:
    """Return depth (H, W) as it was before a small motion of the camera.

    Each pixel takes the depth of where its point has moved to, as far as the depth there tells;
    what was not seen then has none.

    Args:
        depth_m: (H, W) float32 meters after the motion, 0 where there is no measurement.
        camera: intrinsics.
        motion_6: (6,) of the camera in its own frame, meters and radians.
    """
    sampled = depth_m[::_SAMPLED, ::_SAMPLED]
    known = sampled[sampled > 0]
    usual_m = float(np.median(known)) if len(known) else 1.0
    view_4 = camera.pinhole_4
    move = _move if AVAILABLE else move_twin
    moved = np.zeros_like(depth_m)
    move(np.ascontiguousarray(depth_m), view_4, motion_6, usual_m, moved)
    return moved


@kernel
def _move(
    depth_HW: Float32Image, view_4: Float64Array, motion_6: Float64Array, usual_m: float,
    moved_HW: Float32Image,
) -> None:
    """Fill `moved_HW`, which is 0 everywhere."""
    height, width = depth_HW.shape
    fx, fy, cx, cy = view_4[0], view_4[1], view_4[2], view_4[3]
    for row in range(height):
        for column in range(width):
            here = depth_HW[row, column]
            z = np.float64(here) if here > 0.0 else usual_m
            a, b = (column - cx) / fx, (row - cy) / fy
            nearer = motion_6[2] + (motion_6[3] * b - motion_6[4] * a) * z
            right = column - fx * (motion_6[0] + (motion_6[4] - motion_6[5] * b) * z
                                   - a * nearer) / z
            down = row - fy * (motion_6[1] + (motion_6[5] * a - motion_6[3]) * z - b * nearer) / z
            if -0.5 <= right < width - 0.5 and -0.5 <= down < height - 0.5:
                there = depth_HW[int(np.floor(down + 0.5)), int(np.floor(right + 0.5))]
                if there > 0.0:
                    moved_HW[row, column] = there + nearer


def move_twin(
    depth_HW: Float32Image, view_4: Float64Array, motion_6: Float64Array, usual_m: float,
    moved_HW: Float32Image,
) -> None:
    """Do as the kernel behind `moved_depth`, in NumPy."""
    height, width = depth_HW.shape
    fx, fy, cx, cy = view_4
    rows, columns = np.mgrid[:height, :width]
    z = np.where(depth_HW > 0, depth_HW, usual_m).astype(np.float64)
    points = np.stack([(columns - cx) / fx * z, (rows - cy) / fy * z, z], axis=2)
    drift = -(motion_6[:3] + np.cross(motion_6[3:], points))
    right = columns + fx * (drift[..., 0] - points[..., 0] / z * drift[..., 2]) / z
    down = rows + fy * (drift[..., 1] - points[..., 1] / z * drift[..., 2]) / z
    inside = (right >= -0.5) & (right < width - 0.5) & (down >= -0.5) & (down < height - 0.5)
    at = np.floor(np.stack([down, right]) + 0.5).astype(np.int64)
    there = depth_HW[at[0].clip(0, height - 1), at[1].clip(0, width - 1)]
    good = inside & (there > 0)
    moved_HW[good] = (there - drift[..., 2])[good]
