"""Sensor model: blur, exposure and noise of the image; noise, steps and holes of the depth.

Noise comes from banks drawn once per sequence and read at random offsets per frame: cheap, and
deterministic by seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ..core.geometry.arrays import Float32Array, UInt8Image
from ..core.geometry.se3 import exp_se3, log_se3, transform_points
from .rendering.lighting import GAMMA, HEADROOM
from .rendering.textures import generator

if TYPE_CHECKING:
    from ..core.data.camera import Camera
    from ..core.geometry.arrays import Float64Array
    from .rendering.render import Facets, Visibility

BoolImage = npt.NDArray[np.bool_]
Int16Image = npt.NDArray[np.int16]
_Bank = TypeVar("_Bank", Int16Image, Float32Array)
_BANK = 1024
_BLUR_SAMPLES = 5
_TONE_RANGE = 1.4
#: Baseline between infra-red projector and camera, and disparity resolution in pixels.
_BASELINE_M, _DISPARITY_STEP_PX = 0.075, 0.125


@dataclass(frozen=True)
class SensorModel:
    """What the camera does to the ideal image and depth.

    Attributes:
        exposure: mean brightness gain; `drift` is its relative slow change over time.
        white_balance: gain of red, green and blue.
        shutter_s: exposure time, the length of motion blur.
        image_noise: standard deviation of image noise in gray levels.
        depth_noise_m, depth_noise_per_m: sigma_z = a + b z^2.
        min_depth_m, max_depth_m: range of the depth sensor.
    """

    exposure: float = 1.0
    drift: float = 0.12
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shutter_s: float = 0.011
    image_noise: float = 2.2
    depth_noise_m: float = 0.001
    depth_noise_per_m: float = 0.0025
    min_depth_m: float = 0.4
    max_depth_m: float = 5.0


class Sensor:
    """Applies a `SensorModel`; one instance per sequence, frames in any order."""

    def __init__(self, model: SensorModel, camera: Camera, seed: int) -> None:
        """Draw the noise banks and the exposure drift."""
        self.model, self.camera, self.seed = model, camera, seed
        size = (_BANK + camera.height, _BANK + camera.width)
        rng = generator(seed, "image noise")
        noise = rng.standard_normal((size[0] // 2, size[1] // 2, 3), dtype=np.float32)
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.55))
        luma = noise.mean(2, keepdims=True)
        noise = 0.55 * noise + 0.8 * luma  # demosaicing correlates neighbors and channels
        self._image_noise = np.rint(noise / noise.std() * model.image_noise).astype(np.int16)
        rng = generator(seed, "depth noise")
        fine = rng.standard_normal(size, dtype=np.float32)
        fine = np.asarray(cv2.GaussianBlur(fine, (0, 0), 0.8))
        self._depth_noise = fine / fine.std()
        rng = generator(seed, "depth holes")
        blobs = rng.standard_normal(size, dtype=np.float32)
        blobs = np.asarray(cv2.GaussianBlur(blobs, (0, 0), 4))
        specks = rng.standard_normal(size, dtype=np.float32)
        self._holes = (0.85 * blobs / blobs.std() + 0.5 * specks) / np.float32(np.hypot(0.85, 0.5))
        rng = generator(seed, "exposure drift")
        self._drift_hz = rng.uniform(0.02, 0.12, 3)
        self._drift_phase = rng.uniform(0, 2 * np.pi, 3)
        u = (np.arange(camera.width) - camera.cx) / camera.fx
        v = (np.arange(camera.height) - camera.cy) / camera.fy
        radius2 = (u[None] ** 2 + v[:, None] ** 2).astype(np.float32)
        # In an encoded picture gains become gains to the power 1 / GAMMA.
        balance = np.asarray(model.white_balance, np.float32) / HEADROOM
        falloff = 1 / (1 + 0.9 * radius2[..., None])
        self._gain = (falloff * balance).astype(np.float32) ** np.float32(1 / GAMMA)
        self._ray_length = np.sqrt(1 + radius2)

    def expose(
        self, image: UInt8Image, edges: BoolImage, frame: int, time_s: float, gain: float = 1.0
    ) -> UInt8Image:
        """Turn the rendered picture (encoded as in `lighting`) into a camera image.

        Args:
            image: (H, W, 3) ideal picture.
            edges: (H, W) pixels at silhouettes, where the renderer has stairs.
            frame: frame number, selects the noise.
            time_s: time since the start, for the exposure drift.
            gain: of automatic exposure, a factor of linear brightness.
        """
        soft = cv2.GaussianBlur(image, (3, 3), 0.75)
        cv2.copyTo(soft, edges.view(np.uint8), image)
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0.42), np.uint8)
        gain *= self.model.exposure * (1 + self.model.drift / 1.7 * np.sin(
            2 * np.pi * self._drift_hz * time_s + self._drift_phase).sum())
        image = np.asarray(cv2.multiply(
            image, self._gain, scale=gain ** (1 / GAMMA) / _TONE_RANGE, dtype=cv2.CV_8U))
        image = np.asarray(cv2.LUT(image, _TONES), np.uint8)
        rng = np.random.default_rng([self.seed & 0xFFFFFFFF, 11, frame])
        noise = _crop(self._image_noise, rng, image.shape[0], image.shape[1])
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)

    def measure(
        self, depth_m: Float32Array, facets: Facets, visibility: Visibility, frame: int
    ) -> Float32Array:
        """Turn exact depth (H, W) into what a structured-light sensor reports, 0 = no reading."""
        model, camera = self.model, self.camera
        rng = np.random.default_rng([self.seed & 0xFFFFFFFF, 12, frame])
        height, width = depth_m.shape
        noise = _crop(self._depth_noise, rng, height, width)
        holes = _crop(self._holes, rng, height, width)
        square = depth_m * depth_m
        focal_baseline = np.float32(camera.fx * _BASELINE_M)
        step = square * np.float32(_DISPARITY_STEP_PX) / focal_baseline
        sigma = np.float32(model.depth_noise_m) + np.float32(model.depth_noise_per_m) * square
        # Rounding adds step^2 / 12; the noise is reduced by it, so that the sum follows the model.
        sigma = np.sqrt(np.maximum(sigma * sigma - step * step / 12, 0))
        noisy = np.maximum(depth_m + sigma * noise, 1e-3)
        disparity = np.rint(focal_baseline / noisy * np.float32(1 / _DISPARITY_STEP_PX))
        out = focal_baseline / np.maximum(disparity * np.float32(_DISPARITY_STEP_PX), 1e-3)
        valid = (out >= model.min_depth_m) & (out <= model.max_depth_m) & (depth_m > 0)
        valid &= ~self._shadow(depth_m, focal_baseline)
        index = visibility.facet_HW  # -1, nothing seen, is invalid already
        offset = visibility.offset_N.astype(np.float32).take(index)
        # Cosine of the angle of incidence times the ray length, against a noisy threshold.
        valid &= offset * visibility.inverse_depth_HW > self._ray_length * (0.13 - 0.025 * holes)
        # Standard normal holes: below -2.9 about 0.2 % of all pixels, more on glass and gloss.
        valid &= holes > (4.6 * facets.depth_loss_N - 2.9).take(index)
        return np.where(valid, out, np.float32(0))

    def _shadow(self, depth_m: Float32Array, focal_baseline: np.float32) -> BoolImage:
        """Pixels that the projector, to the right of the camera, does not light."""
        columns = np.arange(depth_m.shape[1], dtype=np.float32)
        lit_column = columns - focal_baseline / np.maximum(depth_m, 0.05)
        nearest_right = np.minimum.accumulate(lit_column[:, ::-1], axis=1)[:, ::-1]
        shadow = np.zeros(depth_m.shape, bool)
        shadow[:, :-1] = lit_column[:, :-1] > nearest_right[:, 1:] + 0.5
        return shadow


def _crop(bank: _Bank, rng: np.random.Generator, height: int, width: int) -> _Bank:
    row = int(rng.integers(bank.shape[0] - height + 1))
    column = int(rng.integers(bank.shape[1] - width + 1))
    return bank[row : row + height, column : column + width]


def _tones() -> UInt8Image:
    """Tone curve over 0..255 * _TONE_RANGE: straight up to 200, then bending towards white."""
    x = np.arange(256) * _TONE_RANGE
    over = np.maximum(x - 200.0, 0)
    return np.rint(np.where(x <= 200, x, 200 + 55 * (1 - np.exp(-over / 55)))).astype(np.uint8)


_TONES = _tones()


def facet_edges(facet_HW: Int16Image) -> BoolImage:
    """Pixels (H, W) with another facet to the left, right, above or below."""
    edges = np.zeros(facet_HW.shape, bool)
    across = facet_HW[:, 1:] != facet_HW[:, :-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    along = facet_HW[1:] != facet_HW[:-1]
    edges[1:] |= along
    edges[:-1] |= along
    return edges


def motion_blur(
    image: UInt8Image, inverse_depth_HW: Float32Array, T_end_start_44: Float64Array,
    camera: Camera,
) -> UInt8Image:
    """Average sub-exposures over the camera motion during the shutter time.

    A sub-exposure takes each pixel from where the static world at the pixel's depth was seen in
    the middle of the exposure.

    Args:
        image: (H, W, 3) picture at the middle of the exposure.
        inverse_depth_HW: (H, W) 1/m at the same moment.
        T_end_start_44: camera motion from the start to the end of the exposure.
        camera: intrinsics.
    """
    twist_6 = log_se3(T_end_start_44)
    samples = int(np.clip(np.ceil(motion_px(T_end_start_44, camera) / 2.0), 1, _BLUR_SAMPLES))
    samples += 1 - samples % 2  # odd, so that the middle one is the picture itself
    if samples == 1:
        return image
    total = image.astype(np.uint16)
    for offset in (np.arange(samples) - samples // 2) / samples:
        if offset == 0:
            continue
        T_44 = exp_se3(float(offset) * twist_6)
        map_x, map_y = _reprojection(inverse_depth_HW, T_44, camera)
        moved = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        total += np.asarray(moved, np.uint8)
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / samples), np.uint8)


def _reprojection(
    inverse_depth_HW: Float32Array, T_44: Float64Array, camera: Camera
) -> tuple[Float32Array, Float32Array]:
    """Where each pixel (H, W) of the camera appears after the motion T, in pixels."""
    A_33 = (camera.K_33 @ T_44[:3, :3] @ np.linalg.inv(camera.K_33)).astype(np.float32)
    b_3 = (camera.K_33 @ T_44[:3, 3]).astype(np.float32)
    columns = np.arange(camera.width, dtype=np.float32)
    rows = np.arange(camera.height, dtype=np.float32)[:, None]
    x, y, w = (
        A_33[k, 0] * columns + (A_33[k, 1] * rows + A_33[k, 2]) + b_3[k] * inverse_depth_HW
        for k in range(3)
    )
    return np.asarray(x / w, np.float32), np.asarray(y / w, np.float32)


def motion_px(T_44: Float64Array, camera: Camera) -> float:
    """Largest image motion in pixels of points 1.5 m away in the image corners."""
    corners = np.array([[0, 0], [camera.width, 0], [0, camera.height],
                        [camera.width, camera.height]], np.float64)
    moved = transform_points(T_44, camera.unproject(corners, np.full(4, 1.5)))
    return float(np.linalg.norm(camera.project(moved) - corners, axis=1).max())
