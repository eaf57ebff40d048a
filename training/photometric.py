"""What light, lens, sensor and compression do to an image: random changes of one gray view."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8Image = npt.NDArray[np.uint8]
Float32Image = npt.NDArray[np.float32]


def photometric(rng: np.random.Generator, image: UInt8Image) -> UInt8Image:
    """Change light, exposure, focus, sharpness, noise and compression as cameras do."""
    x = image.astype(np.float32) / 255
    x = np.power(x, np.float32(np.exp(rng.normal(0, 0.35))))
    x = _light(rng, x)
    x = x * np.float32(np.exp(rng.normal(0, 0.3))) + np.float32(rng.normal(0, 0.08))
    x = _focus(rng, x)
    x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(rng.uniform(0, 0.035))
    out = np.clip(x * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(40, 95))])
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))
    return out


def _light(rng: np.random.Generator, x: Float32Image) -> Float32Image:
    """A light from one side, shadow edges, a bright spot."""
    h, w = x.shape
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    if rng.random() < 0.6:
        a = rng.uniform(0, 2 * np.pi)
        ramp = (xx / w - 0.5) * np.float32(np.cos(a)) + (yy / h - 0.5) * np.float32(np.sin(a))
        x = x * (1 + np.float32(rng.uniform(0, 1.1)) * ramp)
    if rng.random() < 0.25:
        corners = rng.uniform(-0.5, 1.5, (4, 2)) * (w, h)
        mask = np.zeros((h, w), np.float32)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), 1.0)
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 8))
        x = x * (1 - np.float32(rng.uniform(0.2, 0.6)) * mask)
    if rng.random() < 0.15:
        cx, cy = rng.uniform(0, 1, 2) * (w, h)
        size = rng.uniform(0.05, 0.4) * w
        spot = np.exp(-((xx - cx) ** 2 + (yy - cy) ** 2) / np.float32(2 * size**2))
        x = x + np.float32(rng.uniform(0.1, 0.6)) * spot.astype(np.float32)
    return x


def _focus(rng: np.random.Generator, x: Float32Image) -> Float32Image:
    """Sharpening halos of a cheap camera, defocus, motion blur."""
    if rng.random() < 0.2:
        x = x + np.float32(rng.uniform(0.2, 1.0)) * (x - cv2.GaussianBlur(x, (0, 0), 1.2))
    if rng.random() < 0.5:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.8))
    if rng.random() < 0.25:
        length = int(rng.integers(3, 12))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0 / length
        M = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, M, (length, length))
        x = cv2.filter2D(x, -1, kernel / max(float(kernel.sum()), 1e-6))
    return x
