"""Rolling shutter: rows are exposed one after the other; the time it takes is measured online.

A row at height v is exposed at stamp + readout * v / H, when the camera has moved on. Seen points
are brought to where they would have been seen at the stamp. The readout time is a property of
the sensor; it is estimated from what reprojection residuals have in common with the motion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .residuals import NEAREST_M

if TYPE_CHECKING:
    from ..data.camera import Camera
    from ..geometry.arrays import Float64Array

#: Standard deviation of the readout time before anything is measured, seconds.
_PRIOR_SIGMA_S = 0.015
#: Tracks next to each other share their errors: this many count as one.
_SHARED = 8.0
_LONGEST_S = 1.0 / 30.0


def sweep(
    points_cam_n3: Float64Array, pixels_n2: Float64Array, twist_6: Float64Array, camera: Camera
) -> Float64Array:
    """Image motion (n, 2) in pixels per second of readout time, back to the stamp.

    Args:
        points_cam_n3: the points in the camera frame, meters.
        pixels_n2: where they are seen; the row says how late.
        twist_6: velocity of the camera in its own frame, m/s and rad/s.
        camera: intrinsics.
    """
    x, y, z = points_cam_n3.T
    (vx, vy, vz), (wx, wy, wz) = twist_6[:3], twist_6[3:]
    near = np.maximum(z, NEAREST_M)
    late = pixels_n2[:, 1] / camera.height / near
    approach = (vz + wx * y - wy * x) / near  # minus the points' velocity in the camera
    u = camera.fx * (vx + wy * z - wz * y - x * approach)
    v = camera.fy * (vy + wz * x - wx * z - y * approach)
    return np.stack([u * late, v * late], axis=1)


class RollingShutter:
    """The readout time of the color image, given or estimated.

    Args:
        readout_s: time from the first to the last row; negative = estimate it.
    """

    def __init__(self, readout_s: float) -> None:
        self._given = readout_s >= 0.0
        self.readout_s = max(readout_s, 0.0)
        self._information = _PRIOR_SIGMA_S**-2
        self._sum = 0.0

    def observe(
        self, sweep_n2: Float64Array, residual_2n: Float64Array, J_62n: Float64Array
    ) -> None:
        """Learn from one frame.

        Args:
            sweep_n2: what a second of readout adds to the seen pixels, relative to the
                keyframe's, over the pixel noise.
            residual_2n: predicted minus seen pixels at the present readout, over the pixel noise.
            J_62n: derivatives of the residuals by the pose; what a change of pose explains as
                well says nothing of the shutter.
        """
        if self._given or len(sweep_n2) < 12:
            return
        J = J_62n.reshape(6, -1)
        q = sweep_n2.T.reshape(-1)
        q = q - np.linalg.solve(J @ J.T + 1e-6 * np.eye(6), J @ q) @ J
        weight = float(q @ q) / _SHARED
        self._information += weight
        self._sum += weight * self.readout_s + float(q @ residual_2n.reshape(-1)) / _SHARED
        self.readout_s = float(np.clip(self._sum / self._information, 0.0, _LONGEST_S))
