"""Orientation histograms: equal to sums, moved with the image, silent without edges."""

import numpy as np
import pytest
import torch

from ace_slam_ros.core.encoders.networks.network import normalize
from ace_slam_ros.core.encoders.networks.orientations import (
    ORIENTATIONS,
    REGIONS,
    OrientationHistograms,
    oriented_gradients,
)


def rough(seed, height=96, width=128):
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 1, height // 4, width // 4), dtype=np.float32))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear") * 255


def regions_by_sums(gradients_8hw, row, column, spacing):
    """The sixteen histograms around a cell: every cell counted by its distance to the center."""
    box = {1: np.array([1, 3, 3, 1]) / 8, 3: np.array([1, 3, 5, 5, 3, 1]) / 18}[spacing]
    reach = (len(box) - 1) / 2
    found = np.zeros((ORIENTATIONS, REGIONS, REGIONS))
    height, width = gradients_8hw.shape[1:]
    for i in range(REGIONS):
        for j in range(REGIONS):
            center = (row + (i - 1.5) * spacing, column + (j - 1.5) * spacing)
            for a, weight_a in enumerate(box):
                for b, weight_b in enumerate(box):
                    y = mirrored(round(center[0] - reach + a), height)
                    x = mirrored(round(center[1] - reach + b), width)
                    found[:, i, j] += weight_a * weight_b * gradients_8hw[:, y, x]
    return found


def mirrored(index, count):
    index = abs(index)
    return 2 * (count - 1) - index if index >= count else index


@pytest.mark.parametrize("spacing", [1, 3])
def test_equal_to_sums_over_regions(spacing):
    torch.manual_seed(0)
    layer = OrientationHistograms(5, spacing)
    gradients = oriented_gradients(normalize(rough(1)))
    with torch.inference_mode():
        found = layer(gradients)
    weights = layer.project.weight.detach().double().numpy()
    for row, column in [(0, 0), (5, 7), (11, 15), (3, 12)]:
        regions = regions_by_sums(gradients[0].double().numpy(), row, column, spacing)
        root = np.sqrt(regions / (regions.sum() + 1e-3))
        expected = np.tensordot(weights, root, axes=3)
        assert np.allclose(found[0, :, row, column].numpy(), expected, atol=1e-5)


def test_gradients_count_for_the_direction_they_point_to():
    columns = torch.arange(128.0).expand(96, 128)
    for quarter in range(4):  # brighter to the right, downward, to the left, upward
        ramp = torch.rot90(columns, -quarter)[None, None]
        found = oriented_gradients(normalize(ramp))[0, :, 3:-3, 3:-3].mean(dim=(1, 2))
        assert int(found.argmax()) == 2 * quarter
        beside = found[(2 * quarter + 1) % ORIENTATIONS]
        assert beside < 0.15 * found.max()  # 45 degrees away: cosine to the eighth power
        assert found[(2 * quarter + 4) % ORIENTATIONS] == 0  # the opposite is another direction


def test_a_shift_by_a_cell_moves_the_grid_by_a_cell():
    torch.manual_seed(0)
    layer = OrientationHistograms(4, 3)
    image = normalize(rough(2, 160, 240))
    with torch.inference_mode():
        a = layer(oriented_gradients(image))
        b = layer(oriented_gradients(torch.roll(image, (8, 16), dims=(2, 3))))
    assert torch.allclose(a[..., 8:10, 8:18], b[..., 9:11, 10:20], atol=1e-5)


def test_brightness_and_contrast_change_nothing_and_flat_images_are_silent():
    torch.manual_seed(0)
    layer = OrientationHistograms(4, 1)
    with torch.inference_mode():
        a = layer(oriented_gradients(normalize(rough(3))))
        b = layer(oriented_gradients(normalize(rough(3) * 0.5 + 40)))
        flat = layer(oriented_gradients(normalize(torch.full((1, 1, 96, 128), 90.0))))
    assert torch.allclose(a, b, atol=0.02 * float(a.abs().max()))
    assert float(flat.abs().max()) < 1e-3
