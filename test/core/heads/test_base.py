"""Every head keeps the protocol: learning, predicting, re-targeting, storing, resuming."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import scene_heads as scene

from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.geometry.se3 import make_pose
from ace_slam_ros.core.heads.factory import head_capacity_bytes, load_head, make_learner
from ace_slam_ros.core.heads.payload import HeadInfo, pack_head, unpack_arrays
from ace_slam_ros.core.mapping.mapper import Mapper

HEADS = ("affine", "aceg", "affine+aceg", "trimlp", "hommlp")
BY_STEPS = ("trimlp", "hommlp")
#: Median error after learning, meters: the affine head has 128 words for the whole box.
NEAR_M = 0.12


@pytest.fixture(scope="module", params=HEADS)
def trained(request):
    """(head type, learner, what it learned from)."""
    learner = make_learner(scene.config(request.param), scene.encoder())
    learned = scene.keyframes(10)
    for frame in learned:
        assert learner.observe(frame, frame.T_map_cam) > 100
        learner.work(float("inf"))
    return request.param, learner, learned


def median_error(head, offset=0.0):
    x = scene.some_points(np.random.default_rng(99), 400)
    p = head.predict(scene.describe(x))
    assert p.coords_map_NS3.dtype == p.sigma_m_NS.dtype == np.float32
    assert p.coords_map_NS3.shape == (*p.sigma_m_NS.shape, 3) and len(p.sigma_m_NS) == 400
    error = np.linalg.norm(p.coords_map_NS3 - (x + offset)[:, None], axis=2)
    return float(np.median(np.where(np.isfinite(p.sigma_m_NS), error, np.inf).min(axis=1)))


def blob_of(learner, head_type, encoder_hash="cafe"):
    return pack_head(learner.export(), HeadInfo("map", encoder_hash, head_type, 10, 10))


def test_it_learns_the_scene(trained):
    head_type, learner, _ = trained
    assert learner.head_type == head_type
    assert median_error(learner) < NEAR_M


@pytest.mark.parametrize("head_type", HEADS)
def test_an_empty_head_predicts_nothing_and_has_nothing_to_do(head_type):
    learner = make_learner(scene.config(head_type), scene.encoder())
    assert not learner.wants_work and not learner.work(float("inf")) and not learner.work(0.1)
    p = learner.predict(np.zeros((3, scene.DIMENSION), np.float32))
    assert p.sigma_m_NS.shape[0] == 3 and np.isinf(p.sigma_m_NS).all()


def test_export_and_load_agree_whatever_type_is_configured(trained):
    head_type, learner, _ = trained
    blob = blob_of(learner, head_type)
    other = HEADS[(HEADS.index(head_type) + 1) % len(HEADS)]
    loaded = load_head(blob, scene.encoder(), scene.config(other))
    head, info = loaded.head, loaded.info
    assert head.head_type == info.head == head_type
    d = scene.describe(scene.some_points(np.random.default_rng(5), 100))
    frozen, live = head.predict(d), learner.predict(d)
    known = np.isfinite(frozen.sigma_m_NS)
    width = frozen.coords_map_NS3.shape[1]
    assert known.any(axis=1).mean() > 0.9
    assert np.abs(frozen.coords_map_NS3 - live.coords_map_NS3[:, :width])[known].max() < 0.03
    assert len(head.predict(np.zeros((0, scene.DIMENSION), np.float32)).sigma_m_NS) == 0
    assert len(blob) <= head_capacity_bytes(scene.config(head_type), scene.encoder())


def test_damaged_blobs_are_refused(trained):
    head_type, learner, _ = trained
    blob, config = blob_of(learner, head_type), scene.config(head_type)
    tensors = learner.export()
    for broken in (blob[: len(blob) // 2], blob[:-1], blob[:4], b"", b"\0" * 64,
                   blob[:8] + b"#" + blob[9:]):
        with pytest.raises(MapError):
            load_head(broken, scene.encoder(), config)
    for name in tensors:
        partial = {n: t for n, t in tensors.items() if n != name}
        info = HeadInfo("map", "cafe", head_type, 1, 1)
        with pytest.raises(MapError):
            load_head(pack_head(partial, info), scene.encoder(), config)
    with pytest.raises(MapError, match="encoder"):
        load_head(blob_of(learner, head_type, "other"), scene.encoder(), config)
    with pytest.raises(MapError, match="type"):
        load_head(blob_of(learner, "oracle"), scene.encoder(), config)


@pytest.mark.parametrize("head_type", HEADS)
def test_the_map_follows_its_keyframes(head_type):
    learner = make_learner(scene.config(head_type), scene.encoder())
    learned = scene.keyframes(6)
    for frame in learned:
        learner.observe(frame, frame.T_map_cam)
    learner.work(float("inf"))
    shift = make_pose(np.eye(3), np.array([0.4, -0.2, 0.3]))
    learner.retarget({k.id: shift @ k.T_map_cam for k in learned})
    for _ in range(4):
        learner.retarget({learned[0].id: shift @ learned[0].T_map_cam})
        learner.work(float("inf"))
    assert median_error(learner, shift[:3, 3]) < NEAR_M
    with pytest.raises(KeyError):
        learner.retarget({77: np.eye(4)})


def test_forgetting_a_keyframe_keeps_what_it_taught(trained):
    head_type, _, learned = trained
    learner = make_learner(scene.config(head_type), scene.encoder())
    for frame in learned:
        learner.observe(frame, frame.T_map_cam)
    learner.work(float("inf"))
    learner.forget(learned[3].id)
    learner.forget(12345)
    learner.work(float("inf"))
    assert median_error(learner) < NEAR_M
    with pytest.raises(KeyError):
        learner.retarget({learned[3].id: np.eye(4)})
    for frame in learned[:3] + learned[4:]:
        learner.forget(frame.id)
    learner.work(0.01)
    assert median_error(learner) < NEAR_M


@pytest.mark.parametrize("head_type", HEADS)
def test_what_pruning_took_away_is_unlearned(head_type):
    """Two keyframes showed a mover before half of the scene; then they lose it."""
    learner = make_learner(scene.config(head_type), scene.encoder())
    rng = np.random.default_rng(3)
    made = []
    for k in range(2):
        x = scene.some_points(rng, 400)
        frame = scene.keyframe(k, x)
        wrong = x[:, 0] > 0
        points = frame.points_cam_N3.copy()
        points[wrong, 2] -= 0.7
        made.append((replace(frame, points_cam_N3=points), ~wrong))
        learner.observe(made[-1][0], np.eye(4))
    learner.work(float("inf"))
    d_mover = made[0][0].descriptors_ND[~made[0][1]]
    air = made[0][0].points_cam_N3[~made[0][1]]

    def share_in_the_air():
        p = learner.predict(d_mover)
        error = np.linalg.norm(p.coords_map_NS3 - air[:, None], axis=2)
        return float(((error < 0.2) & np.isfinite(p.sigma_m_NS)).any(axis=1).mean())

    before = share_in_the_air()
    for frame, kept in made:
        learner.prune(frame.pick(kept), np.eye(4), kept)
    for k in range(2, 6):  # later keyframes show what was behind
        frame = scene.keyframe(k, scene.some_points(rng, 400))
        learner.observe(frame, np.eye(4))
        learner.work(float("inf"))
    assert before > 0.4 and share_in_the_air() < 0.2 * before
    assert median_error(learner) < NEAR_M


@pytest.mark.parametrize("head_type", HEADS)
def test_runs_without_a_clock_repeat_bit_for_bit(head_type):
    exports = []
    for _ in range(2):
        learner = make_learner(scene.config(head_type, steps_first=20), scene.encoder())
        for frame in scene.keyframes(3):
            learner.observe(frame, frame.T_map_cam)
            learner.work(float("inf"))
        exports.append(learner.export())
    assert exports[0].keys() == exports[1].keys()
    assert all((exports[0][n] == exports[1][n]).all() for n in exports[0])


@pytest.mark.parametrize("head_type", BY_STEPS)
def test_idle_time_improves_the_map(head_type):
    learner = make_learner(scene.config(head_type, steps_first=5, steps_per_keyframe=1),
                           scene.encoder())
    for frame in scene.keyframes(5):
        learner.observe(frame, frame.T_map_cam)
    learner.work(float("inf"))
    assert not learner.work(float("inf")), "no step is owed any more"
    before = median_error(learner)
    assert learner.wants_work
    for _ in range(300):
        assert learner.work(0.01)
        if median_error(learner) < before / 3:
            break
    assert median_error(learner) < before / 3


@pytest.mark.parametrize("head_type", HEADS)
def test_a_restarted_mapper_goes_on_from_the_saved_map(head_type, tmp_path):
    encoder = scene.encoder()
    mapper = Mapper(scene.config(head_type), encoder)
    for frame in scene.keyframes(5):
        assert mapper.add_keyframe(frame, mapper.map_id)
        mapper.work(float("inf"))
    mapper.save(tmp_path / "map")
    saved = unpack_arrays(mapper.export_head())
    other = HEADS[(HEADS.index(head_type) + 1) % len(HEADS)]
    resumed = Mapper(scene.config(other), encoder)  # the map says which head it has
    resumed.load(tmp_path / "map")
    assert resumed.keyframe_count == 5
    loaded = load_head(resumed.export_head(), encoder, scene.config(other))
    head, info = loaded.head, loaded.info
    assert info.head == head_type and info.map_id == mapper.map_id
    if head_type in BY_STEPS:
        again = unpack_arrays(resumed.export_head())
        assert all((again[n] == saved[n]).all() for n in saved if n != "sigma_table")
    before = median_error(head)
    extra = scene.keyframes(8, seed=3)[5:]
    for frame in extra:
        assert resumed.add_keyframe(frame, resumed.map_id)
        resumed.work(float("inf"))
    loaded = load_head(resumed.export_head(), encoder, scene.config(other))
    head, info = loaded.head, loaded.info
    assert info.keyframes == 8 and median_error(head) < max(NEAR_M, 1.2 * before)
