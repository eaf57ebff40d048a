"""Loading the shipped weights: damaged ones refused, others told apart."""

import shutil

import pytest
from helpers.pictures import CPU

from ace_slam_ros.core.config.sections import EncoderConfig
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.weight_files import ASSETS
from ace_slam_ros.core.errors import ConfigError, EncoderError


def test_missing_or_damaged_weights_are_refused_with_the_fix(tmp_path):
    with pytest.raises(EncoderError, match="give the path of its weights"):
        load_encoder(EncoderConfig(weights=str(tmp_path / "tiny_encoder.safetensors")), CPU)
    for name in ("tiny_encoder.safetensors", "tiny_codebook.safetensors"):
        shutil.copy(ASSETS / name, tmp_path / name)
    whole = (tmp_path / "tiny_encoder.safetensors").read_bytes()
    (tmp_path / "tiny_encoder.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EncoderError, match="does not hold"):
        load_encoder(EncoderConfig(weights=str(tmp_path / "tiny_encoder.safetensors")), CPU)
    (tmp_path / "tiny_codebook.safetensors").unlink()
    (tmp_path / "tiny_encoder.safetensors").write_bytes(whole)
    with pytest.raises(EncoderError, match="build_codebook.py --encoder-name tiny --weights"):
        load_encoder(EncoderConfig(weights=str(tmp_path / "tiny_encoder.safetensors")), CPU)
    with pytest.raises(ConfigError, match="choose one of tiny, xfeat"):
        EncoderConfig(name="giant")


def test_other_weights_have_another_hash(encoder, tmp_path):
    for name in ("tiny_encoder.safetensors", "tiny_codebook.safetensors"):
        shutil.copy(ASSETS / name, tmp_path / name)
    same = load_encoder(EncoderConfig(weights=str(tmp_path / "tiny_encoder.safetensors")), CPU)
    assert same.hash == encoder.hash
    path = tmp_path / "tiny_encoder.safetensors"
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(bytes(blob))
    assert load_encoder(EncoderConfig(weights=str(path)), CPU).hash != encoder.hash
