"""Keys: trained for the encoder that ships, a projection for all others."""

import numpy as np
import torch
from helpers import scene_heads as scene
from safetensors import safe_open

from ace_slam_ros.core.heads.aceg.regressor import (
    KEYS,
    WEIGHTS,
    KeyNetwork,
    main_directions,
    regressor_for,
)


def some_descriptors(count, dimension):
    d = torch.randn(count, dimension, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(d, dim=1).numpy()


def test_the_shipped_encoder_has_trained_keys(encoder, tmp_path):
    assert WEIGHTS.stat().st_size < 4e6
    with safe_open(WEIGHTS, framework="pt") as stored:
        assert stored.metadata()["encoder_hash"] == encoder.hash and stored.metadata()["recipe"]
    trained, plain = regressor_for(encoder), regressor_for(encoder, tmp_path / "none")
    d = some_descriptors(20, encoder.dimension)
    keys = trained.keys(d)
    assert keys.shape == (20, KEYS) and trained.mark != plain.mark
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1.0, atol=1e-5)
    assert np.abs(keys - plain.keys(d)).max() > 0.05
    assert regressor_for(encoder).mark == trained.mark
    assert len(trained.keys(d[:0])) == 0


def test_other_encoders_get_the_main_directions_of_their_words():
    encoder = scene.encoder()
    directions = main_directions(torch.from_numpy(encoder.codebook.words_KD), KEYS)
    assert directions.shape == (scene.DIMENSION, scene.DIMENSION)
    torch.testing.assert_close(directions.T @ directions, torch.eye(scene.DIMENSION),
                               atol=1e-5, rtol=0)
    d = some_descriptors(30, scene.DIMENSION)
    keys = regressor_for(encoder).keys(d)
    np.testing.assert_allclose(keys @ keys.T, d @ d.T, atol=1e-5)


def test_keys_begin_as_the_projection_alone():
    directions = main_directions(torch.randn(100, 24), 8)
    d = torch.from_numpy(some_descriptors(10, 24))
    with torch.inference_mode():
        keys = KeyNetwork(directions, 16)(d)
    torch.testing.assert_close(keys, torch.nn.functional.normalize(d @ directions, dim=1))
