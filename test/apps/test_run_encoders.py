"""Encoders end to end: sparse and dense, other ones than the shipped, other descriptor widths."""

import sys

import build_codebook
import numpy as np
import pytest
import torch
from helpers.worlds import world_folder
from safetensors.torch import load_file, save_file

from ace_slam_ros.cli import main
from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.networks.published.ace import AceNetwork
from ace_slam_ros.core.encoders.networks.weights import load_network
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.localization.relocalizer import Relocalizer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.maps.map_folder import load_map
from ace_slam_ros.io.open_source import open_source

CPU = torch.device("cpu")
FRAMES = 10


@pytest.fixture(scope="module")
def room():
    return world_folder("room", 5, FRAMES)


@pytest.fixture(scope="module")
def xfeat(repository, tmp_path_factory):
    """Options for the command line that choose XFeat, with a small codebook of its own."""
    weights = repository / "../shared/weights/xfeat/xfeat_backbone.pt"
    if not weights.exists():
        pytest.skip(f"no XFeat weights at {weights}")
    codebook = tmp_path_factory.mktemp("xfeat") / "codebook.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [
            "build_codebook.py", "--encoder-name", "xfeat", "--weights", str(weights), "--out",
            str(codebook), "--words", "256", "--samples", "6000", "--pictures", "6",
            "--device", "cpu"])
        assert build_codebook.main() == 0
    return ["--set", "encoder.name=xfeat", "--set", f"encoder.weights={weights}",
            "--set", f"encoder.codebook={codebook}"]


def run(room, out, *options):
    code = main(["run", str(room), "--every-frame", "--out", str(out), "--set",
                 "encoder.threads=1", "--set", "device=cpu", *options])
    assert code == 0
    return load_map(out / "map").manifest


def tracked(out):
    return len((out / "trajectory.txt").read_text().splitlines()) - 1  # one line is the header


@pytest.mark.render
def test_the_shipped_encoder_runs_sparse(room, tmp_path):
    manifest = run(room, tmp_path, "--set", "features.mode=sparse")
    assert tracked(tmp_path) == FRAMES and manifest.encoder_name == "tiny"


@pytest.mark.render
@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_xfeat_runs_end_to_end(room, tmp_path, xfeat, mode):
    manifest = run(room, tmp_path, *xfeat, "--set", f"features.mode={mode}")
    assert tracked(tmp_path) == FRAMES and manifest.encoder_name == "xfeat"
    code = main(["relocalize", str(tmp_path / "map"), str(room), "--out", str(tmp_path / "q")])
    assert code in (1, 2)  # the shipped encoder does not understand that map


@pytest.mark.render
def test_a_wide_encoder_maps_saves_and_relocalizes(room, tmp_path):
    """512-D descriptors of a random network: the same view is found again in its own map."""
    torch.manual_seed(0)
    network = AceNetwork()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    torch.save(network.state_dict(), tmp_path / "ace.pt")
    loaded, _ = load_network(EncoderConfig(name="ace", weights=str(tmp_path / "ace.pt")))
    recipe = build_codebook.CodebookRecipe(
        words=128, groups=8, samples=2000, rounds=3, pictures=2)
    save_file(build_codebook.build_codebook(loaded, recipe, CPU),
              tmp_path / "ace_codebook.safetensors")
    config = SlamConfig().with_values({
        "encoder.name": "ace", "encoder.weights": str(tmp_path / "ace.pt"),
        "features.count": 400, "device": "cpu"})
    encoder = load_encoder(config.encoder, CPU)
    source = open_source(room)
    full = source[0]
    camera = full.camera.scaled(0.5)
    frame = Frame(0, np.ascontiguousarray(full.image[::2, ::2]),
                  np.ascontiguousarray(full.depth_m[::2, ::2]), camera)
    features = extract_features(encoder, frame, config.features, config.sensor)
    assert features.descriptors_ND.shape == (400, 512)
    mapper = Mapper(config, encoder, map_id="wide")
    assert mapper.add_keyframe(
        Keyframe.from_features(0, 0, np.eye(4), features, camera), "wide")
    manifest = mapper.save(tmp_path / "map")
    assert manifest.encoder_hash == encoder.hash
    again = Mapper(config, encoder)
    again.load(tmp_path / "map")
    relocalizer = Relocalizer(config, encoder)
    relocalizer.set_head(again.export_head(), 1)
    answer = relocalizer.locate(frame)
    assert answer.success and pose_error(answer.T_map_cam, np.eye(4))[0] < 0.05


def test_codebooks_are_reproducible_and_refuse_foreign_weights(tmp_path, monkeypatch, capsys):
    loaded, _ = load_network(EncoderConfig())
    recipe = build_codebook.CodebookRecipe(words=32, groups=4, samples=900, rounds=2, pictures=2)
    first, second = (build_codebook.build_codebook(loaded, recipe, CPU) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)
    norms = first["words"].float().norm(dim=1)
    assert first["words"].shape == (32, loaded.spec.dimension)
    assert torch.allclose(norms, torch.ones(32), atol=1e-2)
    save_file(first, tmp_path / "c.safetensors")
    assert load_encoder(EncoderConfig(codebook=str(tmp_path / "c.safetensors")), CPU).hash != (
        load_encoder(EncoderConfig(), CPU).hash)
    assert load_file(tmp_path / "c.safetensors")["projection"].shape == (
        loaded.spec.dimension, 16)
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    monkeypatch.setattr(sys, "argv", [
        "build_codebook.py", "--encoder-name", "ace", "--weights", str(tmp_path / "w.pt")])
    assert build_codebook.main() == 2
    assert "does not hold a 'ace' encoder" in capsys.readouterr().err
