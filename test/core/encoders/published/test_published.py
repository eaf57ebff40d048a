"""Encoders of others behind the interface: architectures, running with them."""

import sys

import numpy as np
import pytest
import torch
from helpers.encoders import CPU, random_codebook, random_weights

from ace_slam_ros.core.config.sections import EncoderConfig, FeatureConfig, SensorConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.base import EncoderSpec
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.networks import tiny as tiny_module
from ace_slam_ros.core.encoders.networks.network import fold_normalization
from ace_slam_ros.core.encoders.networks.published.ace import AceNetwork
from ace_slam_ros.core.encoders.networks.published.superpoint import SuperPointNetwork
from ace_slam_ros.core.encoders.networks.published.xfeat import XFeatNetwork
from ace_slam_ros.core.encoders.networks.tiny import EncoderNetwork
from ace_slam_ros.core.encoders.networks.weights import NETWORKS, load_network
from ace_slam_ros.core.errors import EncoderError

OWN = {"xfeat": XFeatNetwork, "superpoint": SuperPointNetwork, "ace": AceNetwork}
CAMERA = Camera(160, 128, 130.0, 130.0, 79.5, 63.5)


def picture(seed=0, size=(128, 160)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, size, dtype=np.uint8)


@pytest.fixture(scope="module", params=list(OWN))
def loaded(request, tmp_path_factory):
    """(name, state dict as published, loaded encoder) with random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    path = folder / "weights.pth"
    network = OWN[request.param]()
    state = random_weights(network, path)
    random_codebook(folder / "weights_codebook.safetensors", network.spec.dimension)
    config = EncoderConfig(name=request.param, weights=str(path), precision="fp32")
    return request.param, state, load_encoder(config, CPU)


def test_weights_go_through_the_loader_unchanged(loaded):
    name, state, encoder = loaded
    twin = OWN[name]()
    twin.load_state_dict(state)
    image = picture(1)
    with torch.inference_mode():
        expected = twin.eval()(torch.from_numpy(image)[None, None].float())[0].permute(1, 2, 0)
    grid = encoder.describe(image)
    assert grid.shape == (128 // encoder.stride, 160 // encoder.stride, encoder.dimension)
    assert grid.dtype == torch.float32 and torch.allclose(grid, expected, atol=2e-5)
    assert torch.allclose(grid.norm(dim=-1), torch.ones(grid.shape[:2]), atol=1e-4)
    assert not torch.allclose(grid[2, 3], grid[9, 12], atol=0.01)
    assert encoder.describe(picture(1, (101, 139))).shape[:2] == (
        101 // encoder.stride, 139 // encoder.stride)


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_features_and_keyframes_of_every_width(loaded, mode):
    _, _, encoder = loaded
    depth = np.full((128, 160), 1.5, np.float32)
    depth[:, 100:] = 0
    frame = Frame(0, picture(2), depth, CAMERA)
    features = extract_features(
        encoder, frame, FeatureConfig(mode=mode, count=60), SensorConfig())
    assert 5 < len(features) <= 60
    assert features.descriptors_ND.shape[1] == encoder.dimension
    assert features.pixels_N2[:, 0].max() < 101 and np.allclose(features.points_cam_N3[:, 2], 1.5)
    assert np.allclose(CAMERA.project(features.points_cam_N3), features.pixels_N2, atol=1e-3)
    keyframe = Keyframe.from_features(0, 0, np.eye(4), features, CAMERA)
    cosine = (keyframe.descriptors_ND * features.descriptors_ND).sum(axis=1)
    assert cosine.min() > 0.999
    blind = extract_features(encoder, Frame(0, picture(2), None, CAMERA),
                             FeatureConfig(mode=mode, count=60), SensorConfig())
    assert len(blind) > 5 and np.isnan(blind.points_cam_N3[:, 2]).all()


def test_only_superpoint_finds_keypoints(loaded):
    name, _, encoder = loaded
    found = encoder.keypoints(picture(3))
    if name != "superpoint":
        assert found is None
        return
    assert len(found.pixels_N2) > 10
    gaps = np.abs(found.pixels_N2[:, None] - found.pixels_N2[None]).max(axis=2)
    assert gaps[~np.eye(len(gaps), dtype=bool)].min() > 4  # neighbors are suppressed
    assert found.pixels_N2.min() >= 4 and (found.pixels_N2 < (156, 124)).all()
    assert np.allclose(np.linalg.norm(found.descriptors_ND, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("kind", [EncoderNetwork, XFeatNetwork, SuperPointNetwork, AceNetwork])
def test_the_declared_receptive_field_is_the_true_one(kind, monkeypatch):
    """With positive weights no path cancels: the gradient of a cell covers what it sees."""
    monkeypatch.setattr(tiny_module, "normalize", lambda x: x)
    network = kind().double().eval()
    if kind is XFeatNetwork:
        network.norm = torch.nn.Identity()
    if kind is EncoderNetwork:  # the histograms reach 8 cells, less than the learned features
        network.edges = lambda x: x.new_zeros(1, tiny_module.WHITENED, 8, x.shape[3] // 8)
    torch.manual_seed(0)
    for value in network.state_dict().values():
        if value.ndim == 4:
            value.uniform_(0.5, 1.0).mul_(1 / value[0].numel())
    monkeypatch.setattr(torch.nn.functional, "normalize", lambda x, dim: x)
    monkeypatch.setattr(torch.nn.functional, "max_pool2d",
                        torch.nn.functional.avg_pool2d)  # sees the same, but passes all of it
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    side = 512 if kind.spec.receptive_field_px > 100 else 192
    image = torch.full((1, 1, 64, side), 150.0, dtype=torch.float64, requires_grad=True)
    middle = side // kind.spec.stride // 2
    sides, grid = [], network(image)
    for phase in range(4):  # where coarser grids are interpolated, cells differ
        gradient, = torch.autograd.grad(
            grid[0, :, 2, middle + phase].sum(), image, retain_graph=True)
        touched = torch.nonzero(gradient[0, 0].abs().sum(dim=0))[:, 0]
        sides.append(int(touched[-1] - touched[0]) + 1)
    assert max(sides) == kind.spec.receptive_field_px


def test_registry_and_parameter_agree():
    choices = EncoderConfig.__dataclass_fields__["name"].metadata["choices"]
    assert tuple(NETWORKS) == choices
    for name, kind in NETWORKS.items():
        assert kind.spec.name == name and kind.spec.license and kind.spec.normalization
    assert {n for n, k in NETWORKS.items() if k.spec.restricted} == {"superpoint", "ace"}
    for stride in (7, 2):
        with pytest.raises(EncoderError, match="even one of at least 4"):
            EncoderSpec("odd", stride, 64, 8, 8, "none", "none")


def test_xfeat_folds_its_normalization_without_change():
    torch.manual_seed(1)
    network = XFeatNetwork().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    image = torch.rand(1, 1, 64, 96) * 255
    with torch.inference_mode():
        before = network(image).clone()
        assert torch.allclose(before, fold_normalization(network)(image), atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


def test_dinov2_names_its_library(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    torch.save({"cls_token": torch.zeros(1, 1, 384)}, path)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(EncoderError, match="ace-slam-ros.dinov2"):
        load_network(EncoderConfig(name="dinov2", weights=str(path)))


@pytest.mark.parametrize("prefix", ["", "_reg4"])
def test_dinov2_weights_go_through_the_loader(tmp_path, prefix):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    published = timm.create_model(
        f"vit_small_patch14{prefix}_dinov2", pretrained=False, num_classes=0, img_size=518,
        dynamic_img_size=True).eval()
    state = {**published.state_dict(), "mask_token": torch.zeros(1, 384)}
    if prefix:
        state["register_tokens"] = state.pop("reg_token")  # as the authors name it
        state["pos_embed"] = torch.cat([torch.zeros(1, 1, 384), state["pos_embed"]], 1)
    torch.save(state, tmp_path / "w.pth")
    network, _ = load_network(EncoderConfig(name="dinov2", weights=str(tmp_path / "w.pth")))
    with torch.inference_mode():
        image = torch.rand(1, 1, 98, 126) * 255
        color = (image / 255 - network.mean_13hw) / network.deviation_13hw
        tokens = published.forward_features(color)[:, published.num_prefix_tokens:]
        assert torch.allclose(network(image)[0].flatten(1).T,
                              torch.nn.functional.normalize(tokens[0], dim=1), atol=1e-4)
    random_codebook(tmp_path / "c", 384)
    assert network.spec.dimension == 384
    encoder = load_encoder(EncoderConfig(
        name="dinov2", weights=str(tmp_path / "w.pth"), codebook=str(tmp_path / "c")), CPU)
    grid = encoder.describe(picture(0, (100, 130)))
    assert grid.shape == (7, 9, 384) and encoder.stride == 14
    frame = Frame(0, picture(), np.full((128, 160), 1.5, np.float32), CAMERA)
    features = extract_features(encoder, frame, FeatureConfig(count=50), SensorConfig())
    assert len(features) == 50 and np.allclose((features.pixels_N2 - 6.5) % 14, 0)
    with pytest.raises(EncoderError, match="expected cls_token of width"):
        torch.save({"cls_token": torch.zeros(1, 1, 100)}, tmp_path / "x.pth")
        load_network(EncoderConfig(name="dinov2", weights=str(tmp_path / "x.pth")))
