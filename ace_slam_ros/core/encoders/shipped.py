"""The shipped encoder, apart from what computes it: what it declares, its widths, its weights."""

from __future__ import annotations

from .base import EncoderSpec

STRIDE = 8
#: Widths of the learned features, of the whitened histograms, and of the descriptor of both.
LEARNED, WHITENED, DIMENSION = 64, 96, 96
#: Directions of an edge, over the full circle: bright left of dark is another than dark left.
ORIENTATIONS = 8
#: Regions around a cell, along each side.
REGIONS = 4
#: Sum of a cell's histograms (contrasts of the image per block) that counts as no texture at all;
#: noise of one gray level sums to some fifty times as much.
LEAST_GRADIENT = 1e-3
#: Convolutions that halve the image, by the names of their layers.
HALVING = ("stem.2", "middle.0", "coarse.0")
SPEC = EncoderSpec(
    name="tiny", stride=STRIDE, dimension=DIMENSION, receptive_field_px=292, size_multiple=32,
    normalization="zero mean and unit variance per image", license="Apache-2.0")
