"""The training code: correspondences are true, and a miniature training improves."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from losses import apply_homography, contrastive_loss, correspondences  # noqa: E402
from pairs import make_batch, make_pair  # noqa: E402
from procedural import dead_leaves, noise_bank  # noqa: E402
from train_encoder import Recipe, train  # noqa: E402

from ace_slam_ros.core.encoder_network import EncoderNetwork, fold_normalisation  # noqa: E402


@pytest.fixture(scope="module")
def pool():
    bank = noise_bank(np.random.default_rng(0), 4, 320)
    return [dead_leaves(np.random.default_rng([0, k]), bank, 256) for k in range(6)]


def test_images_and_batches_depend_on_the_seed_alone(pool):
    bank = noise_bank(np.random.default_rng(0), 4, 320)
    assert np.array_equal(pool[2], dead_leaves(np.random.default_rng([0, 2]), bank, 256))
    a, b, c = (make_batch(s, 5, pool, 2, 96) for s in (1, 1, 2))
    assert np.array_equal(a["images"], b["images"])
    assert not np.array_equal(a["images"], c["images"])
    assert all(image.std() > 15 for image in pool)


def test_homographies_say_where_pixels_go(pool):
    rng = np.random.default_rng(3)
    dots = np.zeros((256, 256), np.uint8)
    dots[120:124, 130:134] = 255
    for _ in range(8):
        a, b, (H_b_a, _) = make_pair(rng, dots, 160)
        if a.max() - np.median(a) < 60 or b.max() - np.median(b) < 60:
            continue
        spots = [np.argwhere(i > np.median(i) + 0.7 * (float(i.max()) - np.median(i)))
                 .mean(axis=0)[::-1] for i in (a, b)]
        p = H_b_a @ np.append(spots[0], 1)
        assert np.linalg.norm(p[:2] / p[2] - spots[1]) < 6
        return
    pytest.fail("no pair shows the dot in both views")


def test_perfect_descriptors_have_low_loss_and_shuffled_ones_do_not():
    torch.manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(2, 30, 16), dim=-1)
    pixels = torch.rand(2, 30, 2) * 200
    valid = torch.ones(2, 30, dtype=torch.bool)
    good, accuracy = contrastive_loss(a, a, pixels, pixels, valid, 0.05, 5.0)
    bad, chance = contrastive_loss(a, a[:, torch.randperm(30)], pixels, pixels, valid, 0.05, 5.0)
    assert accuracy == 1.0 and chance < 0.3 and good < 0.1 < bad


def test_correspondences_stay_inside(pool):
    batch = make_batch(0, 1, pool, 3, 128)
    H = torch.from_numpy(batch["H_b_a"])
    a, b, valid = correspondences(
        H, torch.from_numpy(batch["H_base_a"]), 128, 256, 8, 64, torch.Generator().manual_seed(0))
    assert torch.allclose(apply_homography(H, a), b)
    assert valid.any() and (b[valid] > 0).all() and (b[valid] < 128).all()


def test_a_miniature_training_improves_and_resumes(tmp_path):
    from safetensors.torch import load_file

    recipe = Recipe(steps=40, pairs=3, view=96, base=160, images=12, cells=64)
    train(recipe, tmp_path, torch.device("cpu"), progress=False)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 40
    losses = [row[1] for row in state["log"]]
    assert losses[-1] < 4.6  # untrained: log(3 x 64) = 5.3
    path = train(recipe, tmp_path, torch.device("cpu"), progress=False)  # nothing left to do
    network = fold_normalisation(EncoderNetwork())
    network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    assert path.stat().st_size < 2_000_000
