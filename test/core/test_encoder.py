"""The shipped encoder and what is made of its grid: loading, refusing, cells, depth."""

import shutil

import cv2
import numpy as np
import pytest
import torch

from ace_slam_ros.core.config.sections import EncoderConfig, FeatureConfig, SensorConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.depth_sampling import cell_depth, pixel_depth
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.encoders.loading import ASSETS, load_encoder
from ace_slam_ros.core.encoders.network import fold_normalization
from ace_slam_ros.core.encoders.tiny import EncoderNetwork
from ace_slam_ros.core.errors import ConfigError, EncoderError

CPU = torch.device("cpu")
CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderConfig(), CPU)


def picture(seed=0, size=(240, 320)):
    """Smooth random structure with edges, as a camera sees it."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 255, (15, 20), dtype=np.uint8), size[::-1])
    for _ in range(60):
        a = rng.integers(0, size[1], 2)
        cv2.rectangle(image, tuple(int(v) for v in a - 60), tuple(
            int(v) for v in a - 60 + rng.integers(4, 40, 2)), int(rng.integers(255)), -1)
    return image


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


def test_folding_changes_nothing():
    torch.manual_seed(0)
    network = EncoderNetwork()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network.eval()
    image = torch.rand(1, 1, 64, 96) * 255
    with torch.inference_mode():
        before = network(image).clone()
        after = fold_normalization(network)(image)
    assert torch.allclose(before, after, atol=1e-5)


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


def test_cell_depth_against_brute_force():
    rng = np.random.default_rng(1)
    depth = rng.choice([0.0, 1.0, 1.002, 2.0, 9.0], (48, 64), p=[0.1, 0.4, 0.4, 0.05, 0.05])
    depth = depth.astype(np.float32)
    sensor = SensorConfig()
    mean = cell_depth(depth, 8, sensor)
    for i in range(6):
        for j in range(8):
            window = depth[8 * i + 2: 8 * i + 6, 8 * j + 2: 8 * j + 6]
            good = window[(window >= sensor.min_depth_m) & (window <= sensor.max_depth_m)]
            expected = len(good) >= 8 and good.max() - good.min() <= (
                0.03 * good.mean() + 4 * (0.001 + 0.0025 * good.mean() ** 2))
            assert np.isfinite(mean[i, j]) == expected
            if expected:
                assert mean[i, j] == pytest.approx(good.mean(), abs=1e-5)


def test_pixel_depth_agrees_with_cell_depth_and_ends_at_the_border():
    rng = np.random.default_rng(2)
    depth = rng.choice([0.0, 1.0, 1.002, 2.0], (48, 64), p=[0.1, 0.4, 0.4, 0.1])
    depth = depth.astype(np.float32)
    rows, columns = np.mgrid[0:6, 0:8] * 8 + 3.5
    pixels = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)
    cells = cell_depth(depth, 8, SensorConfig()).ravel()
    assert np.isfinite(cells).any() and np.isnan(cells).any()
    assert np.allclose(pixel_depth(depth, pixels, SensorConfig()), cells, equal_nan=True)
    flat = np.full((48, 64), 1.5, np.float32)
    corners = np.array([[0, 0], [63, 0], [0, 47], [63, 47]], np.float32)
    assert np.isfinite(pixel_depth(flat, corners[:1], SensorConfig())).all()
    assert np.isnan(pixel_depth(flat, corners[3:], SensorConfig())).all()  # four pixels inside


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_features_lie_on_the_surface(encoder, mode):
    depth = np.full((240, 320), 1.5, np.float32)
    depth[:, 200:] = 0
    frame = Frame(0, picture(), depth, CAMERA)
    features = extract_features(
        encoder, frame, FeatureConfig(mode=mode, count=200), SensorConfig())
    assert 30 < len(features) <= 200
    assert np.allclose(features.points_cam_N3[:, 2], 1.5)
    assert np.allclose(CAMERA.project(features.points_cam_N3), features.pixels_N2, atol=1e-3)
    assert features.pixels_N2[:, 0].max() < 200


def test_nan_and_missing_depth(encoder):
    nan = Frame(0, picture(), np.full((240, 320), np.nan, np.float32), CAMERA)
    assert len(extract_features(encoder, nan, FeatureConfig(), SensorConfig())) == 0
    blind = Frame(0, picture(), None, CAMERA)
    features = extract_features(encoder, blind, FeatureConfig(count=300), SensorConfig())
    assert len(features) == 300 and np.isnan(features.points_cam_N3[:, 2]).all()


def test_keyframes_keep_descriptors_to_a_percent(encoder):
    frame = Frame(0, picture(), np.full((240, 320), 1.5, np.float32), CAMERA)
    features = extract_features(encoder, frame, FeatureConfig(count=300), SensorConfig())
    features.points_cam_N3[0] = np.nan
    keyframe = Keyframe.from_features(3, 7, np.eye(4), features, CAMERA)
    assert len(keyframe.points_cam_N3) == len(features) - 1
    cosine = (keyframe.descriptors_ND * features.descriptors_ND[1:]).sum(axis=1)
    assert cosine.min() > 0.9995
