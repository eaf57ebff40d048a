"""Training pairs: two random views of one image with known correspondence and other light."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
UInt8Image = npt.NDArray[np.uint8]


def random_homography(rng: np.random.Generator, base: int, view: int) -> Float64Array:
    """Return (3, 3) mapping base pixels to view pixels: scale, rotation, shear, perspective."""
    scale = np.exp(rng.uniform(np.log(0.65), np.log(1.7)))
    angle = np.deg2rad(rng.normal(0, 14))
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    stretch = np.exp(rng.normal(0, 0.12))
    A = np.array([[c * stretch, -s, 0], [s, c / stretch, 0], [0, 0, 1.0]])
    A[:2, :2] += rng.normal(0, 0.06, (2, 2))
    P = np.eye(3)
    P[2, :2] = rng.normal(0, 0.0007, 2)
    to_centre = np.array([[1, 0, -base / 2], [0, 1, -base / 2], [0, 0, 1.0]])
    H = P @ A @ to_centre
    reach = max(base * scale - view, 20) * 0.3
    shift = rng.uniform(-reach, reach, 2)
    return np.array([[1, 0, view / 2 + shift[0]], [0, 1, view / 2 + shift[1]], [0, 0, 1.0]]) @ H


def photometric(rng: np.random.Generator, image: UInt8Image) -> UInt8Image:
    """Change light, exposure, focus and noise of a grey image as cameras do."""
    x = image.astype(np.float32) / 255
    x = np.power(x, np.float32(np.exp(rng.normal(0, 0.35))))
    if rng.random() < 0.6:  # a light from one side
        h, w = x.shape
        yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
        a = rng.uniform(0, 2 * np.pi)
        ramp = (xx / w - 0.5) * np.float32(np.cos(a)) + (yy / h - 0.5) * np.float32(np.sin(a))
        x = x * (1 + np.float32(rng.uniform(0, 1.1)) * ramp)
    if rng.random() < 0.15:  # a shadow edge
        h, w = x.shape
        corners = rng.uniform(-0.5, 1.5, (4, 2)) * (w, h)
        mask = np.zeros((h, w), np.float32)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), 1.0)
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 8))
        x = x * (1 - np.float32(rng.uniform(0.2, 0.6)) * mask)
    x = x * np.float32(np.exp(rng.normal(0, 0.3))) + np.float32(rng.normal(0, 0.08))
    if rng.random() < 0.5:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.8))
    if rng.random() < 0.25:  # motion blur
        length = int(rng.integers(3, 12))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0 / length
        M = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, M, (length, length))
        x = cv2.filter2D(x, -1, kernel / max(float(kernel.sum()), 1e-6))
    x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(rng.uniform(0, 0.035))
    out = np.clip(x * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(40, 95))])
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))
    return out


def make_pair(
    rng: np.random.Generator, base: UInt8Image, view: int
) -> tuple[UInt8Image, UInt8Image, npt.NDArray[np.float32]]:
    """Render two views of `base`.

    Returns:
        (image_a (view, view), image_b (view, view), H_b_a (3, 3) mapping pixels of a to b).
    """
    images, homographies = [], []
    for _ in range(2):
        H = random_homography(rng, base.shape[0], view)
        warped = cv2.warpPerspective(
            base, H, (view, view), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
        images.append(photometric(rng, warped))
        homographies.append(H)
    H_b_a = homographies[1] @ np.linalg.inv(homographies[0])
    inside = np.linalg.inv(homographies[0])
    return images[0], images[1], np.stack([H_b_a, inside]).astype(np.float32)


def make_batch(
    seed: int, step: int, pool: list[UInt8Image], pairs: int, view: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Return one training batch, a pure function of (seed, step, pool).

    Returns:
        images (2 * pairs, 1, view, view) float32 0..255, a-views first; H_b_a (pairs, 3, 3)
        mapping pixels of a to b; H_base_a (pairs, 3, 3) mapping pixels of a to the base image.
    """
    rng = np.random.default_rng([seed, 1, step])
    made = [make_pair(rng, pool[int(rng.integers(len(pool)))], view) for _ in range(pairs)]
    images = np.stack([m[0] for m in made] + [m[1] for m in made])[:, None].astype(np.float32)
    maps = np.stack([m[2] for m in made])
    return {"images": images, "H_b_a": maps[:, 0], "H_base_a": maps[:, 1]}
