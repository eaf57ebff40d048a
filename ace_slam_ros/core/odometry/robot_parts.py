"""Parts of the robot in the picture: what keeps its pixels while everything else moves.

A bumper, a mast or a gripper says that the camera stands still. Textured cells of the picture are
compared with themselves a little earlier. Those that stayed while others moved are suspects:
their corners do not count where the others alone make a pose. When that pose says several times
that the suspects should have moved, they are parts of the robot and left out of every frame.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ..data.frame import shows
from ..data.poses import SubmapPose
from ..data.submaps import SubmapMotions, corrected
from ..geometry.se3 import invert_pose, transform_points

if TYPE_CHECKING:
    from ..data.camera import Camera
    from ..data.frame import Frame
    from ..geometry.arrays import Float32Array, Float32Image, Float64Array, UInt8Image

log = logging.getLogger(__name__)

BoolArray = npt.NDArray[np.bool_]

#: The level of the image pyramid that cells are compared on, and the pixels of the image to one.
_LEVEL, _PX = 2, 4
#: A cell every so many pixels of that level, each looking at so many of them.
_STEP, _WINDOW = 4, 8
_CELL_PX = _STEP * _PX
#: Squared gradient (gray values a pixel), in the direction where it is least, of a cell that
#: shows whether it moved: an edge that moves along itself does not.
_LEAST_TEXTURE = 6.0
#: Of the noise of two images, squared gray values on that level.
_NOISE = 0.6
#: Pixels of that level that a cell stayed within, and that it moved by at least.
_STAYED, _MOVED = 0.12, 0.5
#: Of the textured cells so many have moved, where the picture tells parts of the robot.
_LEAST_MOVED = 0.3
#: Parts are at the border, of so many of all cells, and not farther than what moves: a camera
#: that stands while people or a train pass sees what stands behind them.
_LEAST_SHARE, _MOST_FARTHER = 0.02, 1.15
#: Pixels that the pose says suspects should have moved by.
_CONTRADICTION_PX = 2.0
#: What speaks for and against a cell; so much makes it a part of the robot; more does not count.
_FOR, _AGAINST, _ENOUGH, _MOST = 1, 2, 3, 6
#: After so many moves parts are known, and only one frame of so many is looked at.
_KNOWN, _RARELY = 24, 4
#: Where half of the picture moves and the pose stands for a while, somebody should know
#: (a single frame may be blurred).
_HALF, _PATIENCE_NS, _WARNING_INTERVAL_NS = 0.5, 1_000_000_000, 10_000_000_000


@dataclass(frozen=True)
class _Look:
    """An earlier picture: its cells, where the camera was, and how far what it saw.

    `least_hw` is the squared gradient in the direction where it is least, `mean_square_hw` that
    in any direction.
    """

    small_hw: Float32Array
    mean_hw: Float32Array
    variance_hw: Float32Array
    least_hw: Float32Array
    mean_square_hw: Float32Array
    depth_m_hw: Float32Array
    camera: Camera
    pose: SubmapPose


class RobotParts:
    """Finds parts of the robot in successive frames.

    Attributes:
        mask_HW: uint8, 0 where parts of the robot are seen; None when there are none.
        share: of the picture that they cover.
        moves: how often the picture has moved since the start, enough to tell parts by.
    """

    def __init__(self) -> None:
        self._begin(None)

    def _begin(self, camera: Camera | None) -> None:
        self.mask_HW: UInt8Image | None = None
        self.share = 0.0
        self.moves = 0
        self._camera = camera
        self._earlier: _Look | None = None
        self._votes_hw = np.zeros((0, 0), np.int32)
        self._suspects_hw: BoolArray | None = None
        self._moved_hw: BoolArray | None = None
        self._moved_share = 0.0
        self._seen = 0
        self._stands_since_ns: int | None = None

    def clear(self) -> None:
        """Forget where the camera was; what was found stays: it is still there."""
        self._earlier = None

    def correct(self, motions: SubmapMotions) -> None:
        """Follow a correction of the map."""
        if self._earlier is not None:
            self._earlier = replace(self._earlier, pose=corrected(self._earlier.pose, motions))

    def see(self, frame: Frame) -> Frame:
        """Compare a frame with an earlier one; return it without the parts found so far."""
        if frame.camera != self._camera:
            self._begin(frame.camera)  # another camera sees other parts
        self._suspects_hw = self._moved_hw = None
        self._seen += 1
        looks = self.moves < _KNOWN or self._seen % _RARELY == 0
        if self._earlier is not None and looks:
            self._compare(frame, self._earlier)
        return frame if self.mask_HW is None else frame.without(self.mask_HW)

    def suspected(self, pixels_n2: Float32Array | Float64Array, width: int) -> BoolArray:
        """Tell which pixels (n, 2) of the frame, in an image of some width, may show the robot."""
        if self._suspects_hw is None or self._camera is None:
            return np.zeros(len(pixels_n2), bool)
        grown_hw = _grown(self._suspects_hw)
        cell_px = _CELL_PX * width / self._camera.width
        cell = np.floor(np.asarray(pixels_n2, np.float64) / cell_px).astype(np.int64)
        rows, columns = grown_hw.shape
        column, row = cell[:, 0].clip(0, columns - 1), cell[:, 1].clip(0, rows - 1)
        return np.asarray(grown_hw[row, column])

    def without_suspects(self, depth_m_HW: Float32Image) -> Float32Image:
        """Return the depth of the frame, at any size, without what may be the robot."""
        if self._suspects_hw is None:
            return depth_m_HW
        height, width = depth_m_HW.shape
        covered_HW = _enlarged(_grown(self._suspects_hw), width, height)
        return np.where(covered_HW, np.float32(0), depth_m_HW)

    def shows_scene(self, pixels_N2: Float32Array) -> BoolArray:
        """Tell which pixels (N, 2) of any frame are on no part found so far."""
        return shows(self.mask_HW, pixels_N2)

    def settle(self, frame: Frame, pose: SubmapPose) -> bool:
        """Count what the pose of the frame seen last says of suspects.

        Args:
            frame: as it came, with its parts of the robot.
            pose: where its camera was found.

        Returns:
            Whether `mask_HW` has changed.
        """
        earlier, moved_hw = self._earlier, self._moved_hw
        if earlier is None or earlier.pose.submap != pose.submap:
            self._earlier = self._look(frame, pose)
            return False
        if moved_hw is None or self._moved_share < _LEAST_MOVED:
            return False
        flow_hw = _flow(earlier, pose)
        suspects_hw = self._suspects_hw
        contradicts = suspects_hw is not None and float(
            np.median(flow_hw[suspects_hw])) >= _CONTRADICTION_PX
        if not contradicts and float(np.median(flow_hw[moved_hw])) < _CONTRADICTION_PX / 4:
            self._warn(frame.stamp_ns)
            return False
        self._stands_since_ns = None
        if contradicts and suspects_hw is not None:
            stays_hw = suspects_hw & ~moved_hw & (flow_hw >= _CONTRADICTION_PX)
            self._votes_hw[stays_hw] += _FOR
        self._votes_hw[moved_hw] -= _AGAINST
        self._votes_hw = self._votes_hw.clip(0, _MOST)
        self.moves += 1
        self._earlier = self._look(frame, pose)
        return self._update(frame)

    def _look(self, frame: Frame, pose: SubmapPose) -> _Look:
        small = _small(frame)
        gx = cv2.Sobel(small, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
        gy = cv2.Sobel(small, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
        mean = _means(small)
        half = _CELL_PX // 2
        shape = mean.shape
        depth = np.zeros(shape, np.float32)
        if frame.depth_m is not None:
            sampled = frame.depth_m[half::_CELL_PX, half::_CELL_PX][:shape[0], :shape[1]]
            depth[:sampled.shape[0], :sampled.shape[1]] = sampled
        if self._votes_hw.shape != shape:
            self._votes_hw = np.zeros(shape, np.int32)
        xx, yy = _means(gx * gx), _means(gy * gy)
        return _Look(small, mean, _means(small * small) - mean**2,
                     _least(xx, _means(gx * gy), yy), np.float32(0.5) * (xx + yy),
                     depth, frame.camera, SubmapPose(pose.T_map_cam, submap=pose.submap))

    def _compare(self, frame: Frame, earlier: _Look) -> None:
        """Tell the cells that stayed since an earlier picture, those that moved, and suspects."""
        small = _small(frame)
        mean = _means(small)
        variance = _means(small * small) - mean**2
        shared = _means(small * earlier.small_hw) - mean * earlier.mean_hw
        gain = shared / np.maximum(earlier.variance_hw, 1e-3)  # of another exposure
        left = variance - gain * shared
        textured = earlier.least_hw > _LEAST_TEXTURE
        stayed_hw = textured & (gain > 0.5) & (
            left < _NOISE + gain**2 * earlier.least_hw * _STAYED**2)
        self._moved_hw = textured & ~stayed_hw & (
            left > _NOISE + gain**2 * earlier.mean_square_hw * _MOVED**2)
        self._moved_share = int(self._moved_hw.sum()) / max(int(textured.sum()), 1)
        if self._moved_share >= _LEAST_MOVED:
            found = self._parts(stayed_hw, self._moved_hw, earlier.depth_m_hw)
        else:
            found = self._votes_hw > 0
        self._suspects_hw = found if found.any() else None

    def _parts(
        self, stayed_hw: BoolArray, moved_hw: BoolArray, depth_m_hw: Float32Array
    ) -> BoolArray:
        """Return the cells that may be parts of the robot."""
        able = (stayed_hw | (self._votes_hw > 0)) & ~moved_hw
        closed = cv2.morphologyEx(
            able.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        closed[moved_hw] = 0
        count, labels = cv2.connectedComponents(closed, connectivity=4)
        known = depth_m_hw > 0
        far_m = float(np.median(depth_m_hw[moved_hw & known])) if (moved_hw & known).any() else 0.0
        found = np.zeros(closed.shape, bool)
        for label in range(1, count):
            part = labels == label
            at_border = part[0].any() or part[-1].any() or part[:, 0].any() or part[:, -1].any()
            near = depth_m_hw[part & known]
            farther = len(near) > 0 and far_m > 0 and np.median(near) > _MOST_FARTHER * far_m
            if at_border and part.mean() >= _LEAST_SHARE and not farther:
                found |= part
        return found

    def _update(self, frame: Frame) -> bool:
        """Make the mask anew, if it changes."""
        parts = self._votes_hw >= _ENOUGH
        height, width = frame.gray.shape
        if not parts.any():
            changed, self.mask_HW, self.share = self.mask_HW is not None, None, 0.0
            return changed
        mask = np.where(_enlarged(_grown(parts), width, height), 0, 255).astype(np.uint8)
        if self.mask_HW is not None and np.array_equal(mask, self.mask_HW):
            return False
        if self.mask_HW is None:
            log.warning(
                "%.0f %% of the picture stays where it is while the rest moves: taken for a part "
                "of the robot and left out; sensor.mask, an image, says so from the start",
                100 * float(np.mean(mask == 0)))
        self.mask_HW, self.share = mask, float(np.mean(mask == 0))
        return True

    def _warn(self, stamp_ns: int) -> None:
        if self._moved_share < _HALF or self._stands_since_ns is None:
            self._stands_since_ns = stamp_ns if self._moved_share >= _HALF else None
        elif stamp_ns - self._stands_since_ns > _PATIENCE_NS:
            self._stands_since_ns = stamp_ns + _WARNING_INTERVAL_NS
            log.warning(
                "two motions explain the picture: %.0f %% of it moves while the pose stands "
                "still; if that is the scene, name the parts of the robot in sensor.mask",
                100 * self._moved_share)


def _grown(cells_hw: BoolArray) -> BoolArray:
    """Return cells and their neighbors, which they may reach into."""
    return cv2.dilate(cells_hw.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def _enlarged(cells_hw: BoolArray, width: int, height: int) -> BoolArray:
    """Return the pixels of an image that are in cells."""
    return cv2.resize(cells_hw.astype(np.uint8), (width, height),
                      interpolation=cv2.INTER_NEAREST).astype(bool)


def _small(frame: Frame) -> Float32Array:
    """Return the image at a quarter of its size."""
    return frame.pyramid.level(_LEVEL).astype(np.float32)


def _least(xx_hw: Float32Array, xy_hw: Float32Array, yy_hw: Float32Array) -> Float32Array:
    """Return the smaller eigenvalues of squared gradients."""
    apart = np.sqrt((xx_hw - yy_hw) ** 2 + 4 * xy_hw**2)
    return np.asarray((xx_hw + yy_hw - apart) / 2, np.float32)


def _means(values_hw: Float32Array) -> Float32Array:
    """Return means around each cell."""
    means = cv2.boxFilter(values_hw, cv2.CV_32F, (_WINDOW, _WINDOW),
                          borderType=cv2.BORDER_REPLICATE)
    return np.asarray(means[_STEP // 2::_STEP, _STEP // 2::_STEP], np.float32)


def _flow(earlier: _Look, pose: SubmapPose) -> Float64Array:
    """Pixels (h, w) that cells moved by, had they stood in the world.

    What has no depth counts as far as most of the picture.
    """
    height, width = earlier.depth_m_hw.shape
    depth = earlier.depth_m_hw.astype(np.float64).reshape(-1)
    known = depth > 0
    depth[~known] = np.median(depth[known]) if known.any() else 1.0
    v, u = np.mgrid[0:height, 0:width].reshape(2, -1) * float(_CELL_PX) + _CELL_PX / 2
    pixels = np.stack([u, v], axis=1)
    points = earlier.camera.unproject(pixels, depth)
    moved = transform_points(invert_pose(pose.T_map_cam) @ earlier.pose.T_map_cam, points)
    ahead = moved[:, 2] > 0.05
    flow = np.full(len(moved), np.inf)
    flow[ahead] = np.linalg.norm(
        earlier.camera.project(moved[ahead]) - pixels[ahead], axis=1)
    return flow.reshape(height, width)
