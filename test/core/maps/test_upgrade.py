"""Maps of format 1, in which submap k lay 200 k meters along x, are read as today's."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import scene_heads as scene
from helpers.saved_maps import edit_manifest
from safetensors.numpy import save

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.submaps import only_submap
from ace_slam_ros.core.geometry.se3 import exp_se3, transform_points
from ace_slam_ros.core.heads.factory import load_head, make_learner
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.maps.manifest import MapManifest
from ace_slam_ros.core.maps.map_folder import load_map, save_map

CONFIG = SlamConfig()
HOME = exp_se3(np.array([0.1, 0.2, 0, 0, 0, 0.3]))
AWAY = exp_se3(np.array([-1.0, 0, 0, 0, 0, 1.0]))
BESIDE = exp_se3(np.array([200.0, 0, 0, 0, 0, 0])) @ AWAY


@pytest.fixture
def old_map(tmp_path):
    """A map with a joined keyframe and one in an unjoined submap, as version 0.1.0 wrote it."""
    learner = make_learner(CONFIG, scene.encoder())
    rng = np.random.default_rng(0)
    keyframes = []
    for number, T_map_cam in enumerate((HOME, BESIDE)):
        points = scene.some_points(rng)
        keyframe = replace(scene.keyframe(number, points), T_map_cam=T_map_cam)
        learner.observe(keyframe, T_map_cam)
        keyframes.append(keyframe)
    head = save(learner.export(), {
        "map_id": "old", "encoder_hash": "cafe", "head": "affine", "keyframes": "2",
        "next_keyframe": "2", "corrections": "3", "segments": "1"})
    manifest = MapManifest("old", "test", "cafe", "affine", scene.CAMERA, "map",
                           ((-1, -1, -1), (1, 1, 1)), "0.1.0")
    save_map(tmp_path / "map", manifest, head, keyframes)
    edit_manifest(tmp_path / "map", format_version="1.0")
    return tmp_path / "map", keyframes


def test_submaps_of_an_old_map_are_told_apart_by_number(old_map):
    path, keyframes = old_map
    stored = load_map(path)
    assert [k.submap for k in stored.keyframes] == [0, 1]
    assert np.allclose(stored.keyframes[0].T_map_cam, HOME)
    assert np.allclose(stored.keyframes[1].T_map_cam, AWAY)
    loaded = load_head(stored.head, scene.encoder(), CONFIG)
    assert loaded.info.submaps == (1,) and loaded.info.map_revision == 3
    for keyframe, T_map_cam in zip(keyframes, (HOME, AWAY), strict=True):
        number = keyframe.id
        found = only_submap(loaded.head.predict(keyframe.descriptors_ND), number)
        true = transform_points(T_map_cam, keyframe.points_cam_N3.astype(np.float64))
        error = np.linalg.norm(found.coords_map_NS3 - true[:, None], axis=2)
        error[~np.isfinite(found.sigma_m_NS)] = np.inf
        assert np.median(error.min(axis=1)) < 0.05


def test_an_old_map_is_continued_and_saved_as_a_new_one(old_map, tmp_path):
    mapper = Mapper(CONFIG, scene.encoder())
    mapper.load(old_map[0])
    assert {i: p.submap for i, p in mapper.keyframe_poses.items()} == {0: 0, 1: 1}
    mapper.save(tmp_path / "new")
    again = load_map(tmp_path / "new")
    assert again.manifest.format_version == "2.1"
    assert [k.submap for k in again.keyframes] == [0, 1]


def test_a_map_without_submaps_keeps_its_weights(old_map, tmp_path):
    stored = load_map(old_map[0])
    tensors = {"a": np.arange(3.0)}
    head = save(tensors, {"map_id": "old", "encoder_hash": "cafe", "head": "trimlp",
                          "keyframes": "2", "next_keyframe": "2"})
    save_map(tmp_path / "map", stored.manifest, head)
    edit_manifest(tmp_path / "map", format_version="1.0")
    loaded = load_map(tmp_path / "map")
    assert loaded.keyframes is None and b"map_revision" in loaded.head
