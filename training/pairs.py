"""Training pairs from flat pictures: two random views with known correspondence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from photometric import UInt8Image, photometric

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pair:
    """Two square views and where pixels of the first lie in the second.

    Attributes:
        image_a, image_b: (V, V) uint8 gray.
        pixels_a_N2, pixels_b_N2: float32, pixel centers at integers.
        valid_N: False where the pixel is not visible in the second view.
    """

    image_a: UInt8Image
    image_b: UInt8Image
    pixels_a_N2: Float32Array
    pixels_b_N2: Float32Array
    valid_N: BoolArray


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
    to_center = np.array([[1, 0, -base / 2], [0, 1, -base / 2], [0, 0, 1.0]])
    H = P @ A @ to_center
    reach = max(base * scale - view, 20) * 0.3
    shift = rng.uniform(-reach, reach, 2)
    return np.array([[1, 0, view / 2 + shift[0]], [0, 1, view / 2 + shift[1]], [0, 0, 1.0]]) @ H


def parallax(rng: np.random.Generator, size: int) -> Float64Array:
    """Return (3, 3): how a nearer layer moves against the background between two views."""
    zoom = np.exp(rng.normal(0, 0.06))
    shift = rng.normal(0, 0.07 * size, 2) + (1 - zoom) * size / 2
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]], [0, 0, 1.0]])


def blob(rng: np.random.Generator, size: int) -> UInt8Image:
    """Return a (size, size) uint8 mask, 255 inside a random outline."""
    corners = int(rng.integers(4, 10))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = rng.uniform(0.08, 0.3) * size * rng.uniform(0.5, 1.2, corners)
    center = rng.uniform(0.15, 0.85, 2) * size
    outline = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + center
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 255, cv2.LINE_AA)
    return mask


def apply(H_33: Float64Array, points_N2: Float64Array) -> Float64Array:
    """Map pixels (N, 2) by a homography."""
    mapped = np.column_stack([points_N2, np.ones(len(points_N2))]) @ H_33.T
    return np.asarray(mapped[:, :2] / np.maximum(mapped[:, 2:], 1e-6))


def _paint(
    layers: list[tuple[UInt8Image, UInt8Image | None]], Hs: list[Float64Array], view: int
) -> tuple[UInt8Image, npt.NDArray[np.int8]]:
    """Paint layers over each other; return the view and which layer each pixel shows."""
    image = np.zeros((view, view), np.float32)
    shown = np.zeros((view, view), np.int8)
    for k, ((picture, mask), H) in enumerate(zip(layers, Hs, strict=True)):
        warped = cv2.warpPerspective(picture, H, (view, view), flags=cv2.INTER_AREA,
                                     borderMode=cv2.BORDER_REFLECT_101)
        if mask is None:
            image = warped.astype(np.float32)
            continue
        alpha = cv2.warpPerspective(mask, H, (view, view), flags=cv2.INTER_LINEAR)
        weight = alpha.astype(np.float32) * np.float32(1 / 255)
        image += weight * (warped - image)
        shown[alpha > 127] = k
    return np.clip(image, 0, 255).astype(np.uint8), shown


def picture_pair(
    rng: np.random.Generator, pictures: list[UInt8Image], view: int, count: int,
    most_layers: int = 0,
) -> Pair:
    """Two views of a picture, with up to `most_layers` pieces of others floating before it.

    Args:
        rng: the only source of randomness.
        pictures: square uint8 images of one size.
        view: side of a view.
        count: correspondences drawn.
        most_layers: pieces at most; each moves a little against the background (parallax).
    """
    base = pictures[0].shape[0]
    layers: list[tuple[UInt8Image, UInt8Image | None]] = [
        (pictures[int(rng.integers(len(pictures)))], None)]
    H_a, H_b = random_homography(rng, base, view), random_homography(rng, base, view)
    Hs_a, Hs_b = [H_a], [H_b]
    for _ in range(int(rng.integers(0, most_layers + 1))):
        layers.append((pictures[int(rng.integers(len(pictures)))], blob(rng, base)))
        Hs_a.append(H_a @ parallax(rng, base))
        Hs_b.append(H_b @ parallax(rng, base))
    plain_a, shown_a = _paint(layers, Hs_a, view)
    plain_b, shown_b = _paint(layers, Hs_b, view)
    margin = 8.0
    pixels_a = rng.uniform(margin, view - margin, (count, 2))
    at_a = np.minimum(np.rint(pixels_a).astype(int), view - 1)
    layer_N = shown_a[at_a[:, 1], at_a[:, 0]]
    pixels_b = np.zeros_like(pixels_a)
    in_base = np.zeros_like(pixels_a)
    for k in range(len(layers)):
        of_k = layer_N == k
        in_base[of_k] = apply(np.linalg.inv(Hs_a[k]), pixels_a[of_k])
        pixels_b[of_k] = apply(Hs_b[k], in_base[of_k])
    valid = ((pixels_b > margin) & (pixels_b < view - margin)).all(axis=1)
    valid &= ((in_base > 0) & (in_base < base - 1)).all(axis=1)
    at_b = np.clip(np.rint(pixels_b), 0, view - 1).astype(int)
    valid &= shown_b[at_b[:, 1], at_b[:, 0]] == layer_N
    return Pair(photometric(rng, plain_a), photometric(rng, plain_b),
                pixels_a.astype(np.float32), pixels_b.astype(np.float32), valid)
