"""The examples without ROS, over a rendered room."""

import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import scene_heads as scene
from helpers.scripts import load_script

from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig
from ace_slam_ros.core.encoders.loading import load_encoder, register_encoder
from ace_slam_ros.core.errors import ConfigError, EncoderError, MapError
from ace_slam_ros.core.geometry.se3 import make_pose
from ace_slam_ros.core.heads.factory import (
    head_capacity_bytes,
    load_head,
    make_learner,
    register_head,
)
from ace_slam_ros.core.heads.payload import HeadInfo, pack_head
from ace_slam_ros.io.open_source import open_source

FRAMES = 16


@pytest.fixture(scope="module")
def custom_head(repository):
    return load_script(repository / "examples" / "custom_head.py")


@pytest.fixture(scope="module")
def custom_encoder(repository):
    return load_script(repository / "examples" / "custom_encoder.py")


@pytest.mark.render
@pytest.mark.slow
def test_a_folder_is_tracked_and_an_image_found_in_its_map(
        repository, short_room, tmp_path, capsys):
    track = load_script(repository / "examples" / "track_folder.py")
    track.main(short_room, tmp_path / "map")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == FRAMES and all(re.search(r" s: x -?[0-9.]+ y ", s) for s in lines)
    last = np.array(re.findall(r"-?[0-9]+\.[0-9]{3}", lines[-1])[1:], float)

    relocalize = load_script(repository / "examples" / "relocalize_image.py").relocalize
    color, depth = (sorted((short_room / name).iterdir())[FRAMES - 1] for name in ("rgb", "depth"))
    for arguments in ((color, depth), (color, depth, short_room / "camera.yaml"), (color,)):
        found = relocalize(tmp_path / "map", *arguments)
        assert found.success, found.message
        assert np.linalg.norm(found.T_map_cam[:3, 3] - last) < 0.05


@pytest.mark.render
@pytest.mark.slow
@pytest.mark.parametrize("name", ["custom_encoder", "custom_head"])
def test_a_part_of_ones_own_tracks(request, name, short_room, capsys):
    request.getfixturevalue(name).main(short_room)
    said = capsys.readouterr().out
    assert f"{FRAMES} frames, {FRAMES} tracked" in said
    placed, percent = re.search(r"placed ([0-9]+), with ([0-9]+)%", said).groups()
    assert int(placed) > FRAMES // 2 and int(percent) > 20


@pytest.mark.render
@pytest.mark.slow
def test_an_encoder_of_ones_own_is_chosen_by_name(custom_encoder, room):
    config = EncoderConfig(name="histograms")
    one, other = (load_encoder(config, scene.encoder().device) for _ in range(2))
    assert one.hash == other.hash, "the codebook is the same on every run"
    frame = next(iter(open_source(room)))
    grid = one.describe(frame.gray)
    assert grid.shape == (frame.camera.height // 8, frame.camera.width // 8, one.dimension)
    assert np.allclose(np.linalg.norm(grid.numpy(), axis=2), 1.0, atol=1e-4)
    moved = one.describe(np.roll(frame.gray, (8, 16), axis=(0, 1)))
    inner = (slice(8, -8), slice(8, -8))
    assert np.allclose(np.roll(grid.numpy(), (1, 2), axis=(0, 1))[inner], moved.numpy()[inner],
                       atol=1e-4), "cell (i, j) describes the image around its own pixels"


def test_shipped_parts_keep_their_names():
    with pytest.raises(EncoderError, match="choose another name"):
        register_encoder("tiny", lambda config, device: None)
    with pytest.raises(MapError, match="choose another name"):
        register_head("affine", None)
    with pytest.raises(ConfigError, match="choose one of affine, aceg, affine.aceg, trimlp"):
        SlamConfig().with_overrides(["head.type=oracle"])


def test_a_head_of_ones_own_keeps_the_protocol(custom_head):
    config = SlamConfig().with_overrides(["head.type=memory"])
    encoder = scene.encoder()
    learner = make_learner(config, encoder)
    assert np.isinf(learner.predict(np.zeros((3, scene.DIMENSION), np.float32)).sigma_m_NS).all()
    pixels_N2 = np.arange(600, dtype=np.float32).reshape(300, 2)
    learned = [replace(keyframe, pixels_N2=pixels_N2) for keyframe in scene.keyframes(10)]
    for keyframe in learned:
        assert learner.observe(keyframe, keyframe.T_map_cam) == 300
    points = scene.some_points(np.random.default_rng(99), 400)

    def median_error(head, offset=0.0):
        predictions = head.predict(scene.describe(points))
        known = np.isfinite(predictions.sigma_m_NS[:, 0])
        assert known.mean() > 0.9
        return np.median(np.linalg.norm(
            predictions.coords_map_NS3[known, 0] - points[known] - offset, axis=1))

    assert median_error(learner) < 0.12
    shift = make_pose(np.eye(3), np.array([0.4, -0.2, 0.3]))
    learner.retarget({k.id: shift @ k.T_map_cam for k in learned})
    learner.forget(learned[3].id)
    blob = pack_head(learner.export(), HeadInfo("map", encoder.hash, "memory", 10, 10))
    assert len(blob) <= head_capacity_bytes(config, encoder)
    loaded = load_head(blob, encoder, SlamConfig())
    assert loaded.head.head_type == "memory" and median_error(loaded.head, shift[:3, 3]) < 0.12
    few = learned[0].pick(np.arange(300) < 100)
    learner.prune(few, learned[0].T_map_cam, np.arange(300) < 100)
    assert len(learner.export()["points"]) == 3000 - 200
    with pytest.raises(KeyError):
        learner.retarget({learned[3].id: np.eye(4)})
    with pytest.raises(MapError, match="memory head"):
        load_head(pack_head({}, HeadInfo("map", encoder.hash, "memory", 0, 0)), encoder, config)
