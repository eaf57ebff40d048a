#!/usr/bin/env python3
"""An encoder of one's own: histograms of edge orientations, with nothing trained.

    .venv/bin/python examples/custom_encoder.py FOLDER_OR_BAG

An encoder says what it is (`EncoderSpec`), describes an image on a grid of cells, and brings the
codebook that the heads need: words, their groups, and the directions in which descriptors vary
around a word. `register_encoder` makes it a value of `encoder.name`, in this process and in those
that import this file.
"""

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from ace_slam_ros.core import Slam, SlamConfig
from ace_slam_ros.core.encoders.base import Encoder, EncoderSpec
from ace_slam_ros.core.encoders.codebook import Codebook
from ace_slam_ros.core.encoders.loading import register_encoder
from ace_slam_ros.io import open_source

STRIDE, ORIENTATIONS = 8, 8
#: Offsets of the 4 x 4 regions around a cell that are counted, pixels.
REGIONS = np.arange(4) * 10 - 15
SPEC = EncoderSpec(
    name="histograms", stride=STRIDE, dimension=16 * ORIENTATIONS, receptive_field_px=42,
    size_multiple=1, normalization="none: gradients", license="Apache-2.0")
WORDS, GROUPS, DIRECTIONS = 1024, 32, 16


def describe(gray_HW: np.ndarray) -> np.ndarray:
    """Return (h, w, D) unit-norm histograms around the cells of an image."""
    gx, gy = (cv2.Sobel(gray_HW, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    angle, strength = np.arctan2(gy, gx), np.hypot(gx, gy)
    toward = np.arange(ORIENTATIONS) * (2 * np.pi / ORIENTATIONS)
    counts_HWO = np.dstack([cv2.GaussianBlur(
        strength * np.maximum(0.0, np.cos(angle - a)) ** 4, (0, 0), 4.0) for a in toward])
    h, w = gray_HW.shape[0] // STRIDE, gray_HW.shape[1] // STRIDE
    padded = cv2.copyMakeBorder(counts_HWO, 16, 16, 16, 16, cv2.BORDER_REFLECT_101)
    rows, columns = (16 + STRIDE // 2 + np.arange(n) * STRIDE for n in (h, w))
    grid = np.concatenate([padded[np.ix_(rows + y, columns + x)]
                           for y in REGIONS for x in REGIONS], axis=2)
    grid = np.sqrt(grid / np.maximum(grid.sum(axis=2, keepdims=True), 1e-6))
    return grid / np.maximum(np.linalg.norm(grid, axis=2, keepdims=True), 1e-6)


def drawing(rng: np.random.Generator) -> np.ndarray:
    """Return a picture of random shapes: the words shall belong to no scene."""
    picture = np.full((240, 320), rng.integers(256), np.uint8)
    for _ in range(150):
        x, y, size = (int(v) for v in rng.integers((0, 0, 4), (320, 240, 60)))
        shape, gray = rng.integers(3), int(rng.integers(256))
        if shape == 0:
            cv2.circle(picture, (x, y), size // 2, gray, -1)
        else:
            box = cv2.boxPoints(((x, y), (size, size if shape == 1 else 3), rng.uniform(0, 180)))
            cv2.fillConvexPoly(picture, box.astype(np.int32), gray)
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


def kmeans(data: np.ndarray, count: int) -> np.ndarray:
    """Return unit-norm centers (count, D)."""
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0.0)
    _, _, centers = cv2.kmeans(data, count, None, stop, 1, cv2.KMEANS_RANDOM_CENTERS)
    return centers / np.linalg.norm(centers, axis=1, keepdims=True)


def make_codebook() -> Codebook:
    """Return the words of these descriptors, the same for every scene and on every run."""
    rng = np.random.default_rng(0)
    data = np.concatenate([describe(drawing(rng)).reshape(-1, SPEC.dimension) for _ in range(16)])
    data = data.astype(np.float32)
    words = kmeans(data, WORDS)
    difference = data - words[(data @ words.T).argmax(axis=1)]
    values, vectors = np.linalg.eigh(difference.T @ difference / len(difference))
    projection = vectors[:, ::-1][:, :DIRECTIONS] / np.sqrt(values[::-1][:DIRECTIONS])
    return Codebook(words, projection, kmeans(words, GROUPS))


class HistogramEncoder(Encoder):
    """Describes cells by histograms of edge orientations."""

    def __init__(self, device: str) -> None:
        codebook = make_codebook()
        digest = hashlib.sha256(codebook.words_KD.tobytes()).hexdigest()[:16]
        super().__init__(SPEC, digest, codebook, device)

    def describe(self, gray_HW: np.ndarray) -> torch.Tensor:
        """Return (h, w, D) float32 unit-norm descriptors."""
        return torch.from_numpy(describe(gray_HW).astype(np.float32)).to(self.device)


register_encoder(SPEC.name, lambda config, device: HistogramEncoder(device))


def main(recording: Path) -> None:
    """Track a recording with it."""
    slam = Slam(SlamConfig().with_overrides([f"encoder.name={SPEC.name}", "device=cpu"]))
    results = [slam.process(frame) for frame in open_source(recording)]
    seen = [result.inlier_ratio for result in results if result.T_map_cam_raw is not None]
    print(f"{len(results)} frames, {sum(r.has_map_pose for r in results)} tracked; scene "
          f"coordinates placed {len(seen)}, with {np.mean(seen):.0%} of the features")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
