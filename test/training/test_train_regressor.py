"""The training of the regressor: scenes are what they say, it improves, it can be continued."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from regressor.batches import FAR_M, NEAR_M, Batches
from regressor.scenes import load_scene, render_scene
from train_regressor import HELD_OUT, Recipe, train

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.heads.aceg.regressor import KEYS, regressor_for

RECIPE = Recipe(scenes=3, held_out=1, width=32, steps=40, learning_rate=5e-3)


def made_scene(path, seed, dimension):
    """Points on a wall; some channels of what queries see of them mean nothing."""
    rng = np.random.default_rng(seed)
    code = rng.normal(size=(400, dimension))
    wall = np.concatenate([rng.uniform(-2, 2, (400, 2)), np.full((400, 1), 2.0)], axis=1)
    descriptors, points, views, each = [], [], 9 + 4, 150
    for view in range(views):
        some = rng.permutation(400)[:each]
        d = code[some] + 0.2 * rng.normal(size=(each, dimension))
        if view >= 9:
            d[:, :dimension // 2] = 2.0 * rng.normal(size=(each, dimension // 2))
        descriptors.append(np.rint(d * (127 / np.abs(d).max(axis=1, keepdims=True))))
        points.append(wall[some])
    np.savez(path, mapping=9, counts=np.full(views, each),
             descriptors=np.concatenate(descriptors).astype(np.int8),
             points=np.concatenate(points).astype(np.float32),
             pixels=np.zeros((views * each, 2), np.float32),
             poses=np.tile(np.eye(4), (views, 1, 1)))


@pytest.fixture
def data(tmp_path, encoder):
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number in (0, 1, 2, HELD_OUT):
        made_scene(folder / f"scene_{number:04d}.npz", number, encoder.dimension)
    return folder


def test_training_learns_what_queries_look_like_and_goes_on_where_it_stopped(
        data, encoder, tmp_path):
    path = train(RECIPE, tmp_path / "whole", data, progress=False)
    log = json.loads((tmp_path / "whole" / "log.json").read_text())
    assert log[-1]["query"]["loss"] < 0.8 * log[0]["query"]["loss"]
    assert log[-1]["query"]["among_16"] > log[0]["query"]["among_16"]
    assert log[-1]["step"] == 40 and (tmp_path / "whole" / "training.png").exists()
    assert path.stat().st_size < 4e6
    regressor, plain = regressor_for(encoder, path), regressor_for(encoder, tmp_path / "none")
    assert regressor.mark != plain.mark
    d = torch.nn.functional.normalize(torch.randn(5, encoder.dimension), dim=1).numpy()
    assert regressor.keys(d).shape == (5, KEYS)
    np.testing.assert_allclose(np.linalg.norm(regressor.keys(d), axis=1), 1.0, atol=1e-5)
    with pytest.raises(SystemExit, match="recipe"):
        train(replace(RECIPE, seed=3), tmp_path / "whole", data, progress=False)
    state = torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 40
    train(RECIPE, tmp_path / "whole", data, progress=False)
    assert torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)["step"] == 40


def test_batches_ask_from_other_views_than_the_tokens_are_from(data):
    paths = sorted(data.glob("scene_0*.npz"))[:3]
    both, mapping = Batches(paths, 1, True), Batches(paths, 1, False)
    assert torch.equal(both.draw(4).queries_ND, mapping.draw(4).queries_ND)
    assert not torch.equal(both.draw(5).queries_ND, mapping.draw(5).queries_ND)
    batch = both.draw(5)
    near = batch.gap_m_NT < NEAR_M
    assert near.any(dim=1).float().mean() > 0.5 and (batch.gap_m_NT > FAR_M).float().mean() > 0.9


@pytest.mark.render
@pytest.mark.slow
def test_queries_of_a_scene_show_what_was_mapped(encoder, tmp_path):
    render_scene(1, tmp_path / "scene.npz", encoder, SlamConfig(), mapping=6, queries=2)
    scene = load_scene(tmp_path / "scene.npz")
    assert len(scene.mapping) == 6 and 2 <= len(scene.queries) <= 6

    def world(shot):
        T = shot.T_world_cam_44
        return shot.points_cam_N3 @ T[:3, :3].T + T[:3, 3]

    walls = np.concatenate([world(s) for s in scene.mapping])
    asked = np.concatenate([world(s) for s in scene.queries])[::20]
    gap = np.sqrt(np.square(asked[:, None] - walls[None]).sum(axis=2).min(axis=1))
    assert np.mean(gap < 0.1) > 0.3
