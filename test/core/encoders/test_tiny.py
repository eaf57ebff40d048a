"""The shipped encoder: unit descriptors that find the same place again."""

import numpy as np
import torch
from helpers.pictures import picture


def test_descriptors_have_unit_norm_on_the_grid(encoder):
    grid = encoder.describe(picture())
    assert grid.shape == (30, 40, encoder.dimension)
    assert torch.allclose(grid.norm(dim=-1), torch.ones(30, 40), atol=1e-4)
    assert encoder.describe(picture(size=(233, 317))).shape[:2] == (29, 39)


def test_descriptors_ignore_exposure_and_find_the_shifted_cell(encoder):
    image = picture(3)
    darker = np.clip(image * 0.5 + 20, 0, 255).astype(np.uint8)
    shifted = np.roll(darker, (16, 24), axis=(0, 1))
    a, b = encoder.describe(image), encoder.describe(shifted)
    inner_a = a[6:22, 6:30].reshape(-1, encoder.dimension)
    inner_b = b[8:24, 9:33].reshape(-1, encoder.dimension)
    nearest = (inner_a @ inner_b.T).argmax(dim=1)
    correct = (nearest == torch.arange(len(inner_a))).float().mean()
    assert correct > 0.5  # chance: one in 384
