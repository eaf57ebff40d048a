"""The training code: correspondences are true, and a miniature training improves."""


import numpy as np
import pairs
import pytest
import torch
import worlds
from data import VALIDATION, Data
from losses import against_cells, contrastive_loss
from merging import fit_merging
from pairs import picture_pair
from procedural import dead_leaves, noise_bank
from recipe import Recipe, Stage
from train_encoder import train

from ace_slam_ros.core.encoders.networks.network import fold_normalization, normalize
from ace_slam_ros.core.encoders.networks.tiny import EncoderNetwork
from ace_slam_ros.synth.worlds import CAMERA, make_world


@pytest.fixture(scope="module")
def pool():
    bank = noise_bank(np.random.default_rng(0), 4, 320)
    return [dead_leaves(np.random.default_rng([0, k]), bank, 256) for k in range(6)]


def brightest(image):
    """Center (x, y) of the only spot of an otherwise dark image, or None."""
    found = np.argwhere(image > 80)[:, ::-1]
    if len(found) == 0 or np.ptp(found, axis=0).max() > 30:  # not in view, or mirrored too
        return None
    return found.mean(axis=0)


def test_images_and_batches_depend_on_the_seed_alone(pool, tmp_path):
    bank = noise_bank(np.random.default_rng(0), 4, 320)
    assert np.array_equal(pool[2], dead_leaves(np.random.default_rng([0, 2]), bank, 256))
    np.save(tmp_path / "pictures.npy", np.stack(pool * 5))
    stage = Stage(steps=10, pairs=2, view=96, learning_rate=1e-3)
    a, b, c = (Data(Recipe(seed=s, stages=(stage,)), tmp_path).batch(5) for s in (1, 1, 2))
    assert np.array_equal(a["images"], b["images"])
    assert not np.array_equal(a["images"], c["images"])
    assert all(image.std() > 15 for image in pool)


def test_pictures_say_where_pixels_go(monkeypatch):
    monkeypatch.setattr(pairs, "photometric", lambda rng, image: image)
    dots = np.zeros((256, 256), np.uint8)
    dots[120:124, 130:134] = 255
    checked = 0
    for seed in range(30):
        pair = picture_pair(np.random.default_rng(seed), [dots], 160, 4000)
        spots = [brightest(pair.image_a), brightest(pair.image_b)]
        if spots[0] is None or spots[1] is None:
            continue
        from_spot = np.linalg.norm(pair.pixels_a_N2 - spots[0], axis=1)
        nearest = np.argmin(np.where(pair.valid_N, from_spot, np.inf))
        if not pair.valid_N[nearest] or from_spot[nearest] > 3:
            continue
        assert np.linalg.norm(pair.pixels_b_N2[nearest] - spots[1]) < 8
        checked += 1
    assert checked >= 3


def test_hidden_pixels_do_not_correspond():
    """A pixel of the background that a floating piece hides in the other view is not valid."""
    flat = np.full((256, 256), 90, np.uint8)
    shares = [picture_pair(np.random.default_rng(s), [flat], 128, 500, most_layers=layers)
              .valid_N.mean() for layers in (0, 4) for s in range(25)]
    assert np.mean(shares[25:]) < np.mean(shares[:25]) - 0.02


@pytest.mark.render
def test_world_correspondences_agree_with_the_exact_geometry():
    world = make_world("room", 1)
    items = list(world.frames(24, start=0, step=12))
    depth = np.stack([i.clean_depth_m[::2, ::2] for i in items]).astype(np.float16)
    poses = np.stack([i.T_world_cam_44 for i in items])
    shots = worlds.Shots(np.stack([i.frame.gray for i in items]), depth, poses,
                         worlds.partners(depth, poses))
    assert {(0, 1), (1, 0)} == set(map(tuple, shots.partners_P2.tolist()))
    pixels = np.random.default_rng(0).uniform(20, 460, (200, 2))
    inside, pixels_b, seen = worlds._across(pixels, shots, 0, 1)
    assert seen.sum() > 50 and (inside | ~seen).all()
    for p, q in list(zip(pixels[seen], pixels_b[seen], strict=True))[:40]:
        z = items[0].clean_depth_m[round(p[1] / 2) * 2, round(p[0] / 2) * 2]
        X = poses[0] @ np.append(CAMERA.unproject(p[None], np.array([float(z)]))[0], 1)
        back = CAMERA.project((np.linalg.inv(poses[1]) @ X)[None, :3])[0]
        assert np.linalg.norm(back - q) < 1.0
    pair = worlds.world_pair(np.random.default_rng(1), shots, 128, 300)
    assert pair.valid_N.mean() > 0.2
    assert (pair.pixels_b_N2[pair.valid_N] > 0).all()
    assert (pair.pixels_b_N2[pair.valid_N] < 128).all()


def test_perfect_descriptors_have_low_loss_and_shuffled_ones_do_not():
    torch.manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(2, 30, 16), dim=-1)
    pixels = torch.rand(2, 30, 2) * 200
    valid = torch.ones(2, 30, dtype=torch.bool)
    good, accuracy = contrastive_loss(a, a, pixels, pixels, valid, 0.05, 5.0)
    bad, chance = contrastive_loss(a, a[:, torch.randperm(30)], pixels, pixels, valid, 0.05, 5.0)
    assert accuracy == 1.0 and chance < 0.3 and good < 0.1 < bad


def test_every_cell_but_those_near_the_true_pixel_is_a_negative():
    grid = torch.nn.functional.normalize(torch.randn(1, 8, 4, 5), dim=1)
    queries = torch.randn(1, 2, 8)
    true = torch.tensor([[[3.5, 3.5], [27.5, 11.5]]])
    found = against_cells(queries, grid, true, 9.0).reshape(1, 2, 4, 5)
    for n in range(2):
        for i in range(4):
            for j in range(5):
                away = np.hypot(8 * j + 3.5 - float(true[0, n, 0]),
                                8 * i + 3.5 - float(true[0, n, 1]))
                expected = -np.inf if away < 9 else float(queries[0, n] @ grid[0, :, i, j])
                assert float(found[0, n, i, j]) == pytest.approx(expected, abs=1e-5)


def test_a_recipe_knows_the_stage_of_a_step():
    recipe = Recipe(stages=(Stage(5, 1, 96, 1e-3), Stage(7, 2, 96, 1e-3)))
    assert recipe.steps == 12
    assert [recipe.at(s) for s in (0, 4, 5, 11)] == [
        (recipe.stages[0], 0), (recipe.stages[0], 0),
        (recipe.stages[1], 5), (recipe.stages[1], 5)]


@pytest.mark.slow
def test_a_miniature_training_improves_and_resumes(tmp_path):
    from safetensors.torch import load_file

    recipe = Recipe(base=160, images=30, cells=64, stages=(
        Stage(steps=30, pairs=3, view=96, learning_rate=2e-3),
        Stage(steps=10, pairs=3, view=96, learning_rate=5e-4, most_layers=2, every_cell=True)))
    train(recipe, tmp_path, torch.device("cpu"), progress=False)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 40
    assert state["log"][-1][3] > 4 / (3 * 64)  # untrained: one of all cells
    path = train(recipe, tmp_path, torch.device("cpu"), progress=False)  # nothing left to do
    network = fold_normalization(EncoderNetwork())
    network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    assert path.stat().st_size < 2_000_000
    views = torch.from_numpy(Data(recipe, tmp_path).batch(7)["images"])
    with torch.inference_mode():
        cells = network(views).permute(0, 2, 3, 1).flatten(0, 2)
    assert float(cells.mean(dim=0).norm()) < 0.4  # fitted: no direction that all cells share
    held_out = Data(recipe, tmp_path).batch(VALIDATION)
    assert held_out["images"].shape == (6, 1, 96, 96)


def test_merging_makes_both_descriptors_count_the_same():
    torch.manual_seed(0)
    network = EncoderNetwork().eval()
    bank = noise_bank(np.random.default_rng(0), 4, 192)
    views = torch.from_numpy(np.stack([
        dead_leaves(np.random.default_rng([1, k]), bank, 128) for k in range(24)
    ])[:, None].astype(np.float32))
    fit_merging(network, views.split(6), seed=0)
    image = normalize(views)
    with torch.inference_mode():
        learned, edges = network.learned(image), network.edges(image)
        merged = network(views)
    flat = edges.permute(0, 2, 3, 1).flatten(0, 2)
    assert torch.allclose(flat.norm(dim=1), torch.ones(len(flat)), atol=1e-4)
    variance = flat.var(dim=0)
    assert variance[0] > variance[-1] > variance[0] / 300  # half whitened, largest first
    both = torch.cat([learned, edges], dim=1)[0].flatten(1).T
    both = both - torch.cat([learned, edges], dim=1).permute(0, 2, 3, 1).flatten(0, 2).mean(dim=0)
    before = torch.nn.functional.normalize(both, dim=1) @ torch.nn.functional.normalize(both).T
    after = merged[0].flatten(1).T @ merged[0].flatten(1)
    agreement = np.corrcoef(before.flatten().numpy(), after.flatten().numpy())[0, 1]
    assert agreement > 0.9  # cells alike before merging are alike after
    assert all(p.isfinite().all() for p in network.state_dict().values())
