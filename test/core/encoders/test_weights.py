"""Weights of others: needed, checked by name, shape and hash, never run as code."""

import hashlib
import logging
from pathlib import Path

import pytest
import torch
from helpers.encoders import CPU, random_codebook, random_weights
from safetensors.torch import save_file

from ace_slam_ros.core.config.sections import EncoderConfig
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.networks.published.ace import AceNetwork
from ace_slam_ros.core.encoders.networks.published.superpoint import SuperPointNetwork
from ace_slam_ros.core.encoders.networks.weights import load_network
from ace_slam_ros.core.encoders.weight_files import codebook_path
from ace_slam_ros.core.errors import EncoderError


def test_weights_are_needed_and_never_fetched(tmp_path):
    with pytest.raises(EncoderError, match="does not ship.*encoder.weights"):
        load_encoder(EncoderConfig(name="superpoint"), CPU)
    with pytest.raises(EncoderError, match="cannot read"):
        load_encoder(EncoderConfig(name="ace", weights=str(tmp_path / "none.pt")), CPU)


def test_license_and_hash_are_logged_and_the_hash_is_checked(tmp_path, caplog):
    path = tmp_path / "ace_encoder_pretrained.pt"
    random_weights(AceNetwork(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with caplog.at_level(logging.INFO):
        load_network(EncoderConfig(name="ace", weights=str(path), weights_sha256=digest.upper()))
    assert "non-commercial" in caplog.text and digest in caplog.text
    with pytest.raises(EncoderError, match=f"has the SHA-256 {digest}, but"):
        load_network(EncoderConfig(name="ace", weights=str(path), weights_sha256="ab" * 32))


def test_other_architectures_are_refused_by_name_and_shape(tmp_path):
    path = tmp_path / "w.pt"
    random_weights(SuperPointNetwork(), path)
    with pytest.raises(EncoderError, match="'conv1.weight' is missing, expected shape 32x1x3x3"):
        load_network(EncoderConfig(name="ace", weights=str(path)))
    state = AceNetwork().state_dict()
    torch.save({**state, "conv2.weight": torch.zeros(64, 16, 3, 3)}, path)
    with pytest.raises(EncoderError, match="'conv2.weight' has shape 64x16x3x3, expected 64x32x"):
        load_network(EncoderConfig(name="ace", weights=str(path)))
    torch.save({**state, "head.weight": torch.zeros(3)}, path)
    with pytest.raises(EncoderError, match="'head.weight' is not expected"):
        load_network(EncoderConfig(name="ace", weights=str(path)))
    with pytest.raises(EncoderError, match="w.pt does not hold a 'tiny' encoder"):
        load_network(EncoderConfig(weights=str(path)))


def test_code_in_weights_is_not_run(tmp_path):
    import pickle

    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return Path.touch, (ran,)

    path = tmp_path / "w.pt"
    path.write_bytes(pickle.dumps({"conv1.weight": Evil()}, protocol=2))
    with pytest.raises(EncoderError, match="does not hold weights"):
        load_network(EncoderConfig(name="ace", weights=str(path)))
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(EncoderError, match="does not hold weights"):
        load_network(EncoderConfig(name="ace", weights=str(path)))
    torch.save([1, 2], path)
    with pytest.raises(EncoderError, match="a state dict of tensors"):
        load_network(EncoderConfig(name="ace", weights=str(path)))
    assert not ran.exists()


def test_wrapped_and_safetensors_weights_are_read(tmp_path):
    state = random_weights(AceNetwork(), tmp_path / "plain.pt")
    torch.save({"state_dict": state}, tmp_path / "wrapped.pt")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("wrapped.pt", "w.safetensors"):
        network, _ = load_network(EncoderConfig(name="ace", weights=str(tmp_path / name)))
        assert torch.equal(network.state_dict()["conv3.bias"], state["conv3.bias"])


def test_a_codebook_must_exist_and_fit(tmp_path):
    path = tmp_path / "w.pt"
    random_weights(AceNetwork(), path)
    config = EncoderConfig(name="ace", weights=str(path))
    with pytest.raises(EncoderError, match="build_codebook.py --encoder-name ace --weights"):
        load_encoder(config, CPU)
    random_codebook(tmp_path / "w_codebook.safetensors", 64)
    with pytest.raises(EncoderError, match="words of width 64, but 'ace'.* 512"):
        load_encoder(config, CPU)
    (tmp_path / "w_codebook.safetensors").write_bytes(b"nothing")
    with pytest.raises(EncoderError, match="does not hold a codebook"):
        load_encoder(config, CPU)
    for name, seed in (("one", 1), ("two", 2)):
        random_codebook(tmp_path / name, 512, seed=seed)
    one, two = (load_encoder(EncoderConfig(
        name="ace", weights=str(path), codebook=str(tmp_path / n)), CPU) for n in ("one", "two"))
    assert one.hash != two.hash  # a map understands one codebook only
    assert codebook_path(Path("a/my_encoder.safetensors")) == Path("a/my_codebook.safetensors")
    assert codebook_path(Path("encoder/net.pt")) == Path("encoder/net_codebook.safetensors")
