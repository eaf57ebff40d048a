"""The affine head: exact sums, re-targeting equals rebuilding, aliasing, weights round trip."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ace_slam_ros.core.config.sections import HeadConfig, SensorConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders import grouped_vectors
from ace_slam_ros.core.encoders.codebook import Codebook
from ace_slam_ros.core.encoders.torch_codebook import TorchCodebook
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.geometry.se3 import exp_se3, transform_points
from ace_slam_ros.core.heads.affine import head as head_module
from ace_slam_ros.core.heads.affine.expert_index import (
    ExpertIndex,
    encode_words,
    predict_at_once,
    predict_experts,
)
from ace_slam_ros.core.heads.affine.experts import Experts
from ace_slam_ros.core.heads.affine.head import AffineHead, constant_experts
from ace_slam_ros.core.heads.affine.learner import AffineLearner

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def codebook():
    generator = torch.Generator().manual_seed(0)
    words = torch.nn.functional.normalize(torch.randn(128, 16, generator=generator), dim=1)
    projection, _ = torch.linalg.qr(torch.randn(16, 12, generator=generator))
    coarse = torch.nn.functional.normalize(torch.randn(8, 16, generator=generator), dim=1)
    return Codebook(words, projection * 30.0, coarse)


def keyframe(codebook, rng, identifier, T_map_cam, offset=0.0, count=400):
    """Features whose map point is a smooth function of the descriptor."""
    words = codebook.words_KD
    d = words[rng.integers(len(words), size=count)] + rng.normal(scale=0.03, size=(count, 16))
    d = (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(np.float32)
    x_map = np.stack([d @ words[1], d @ words[2], 2 + d @ words[3]], axis=1) + offset
    y = transform_points(np.linalg.inv(T_map_cam), x_map).astype(np.float32)
    features = Features(d, np.zeros((count, 2), np.float32), y)
    return Keyframe.from_features(identifier, identifier, T_map_cam, features, CAMERA), d, x_map


def learner(codebook, **values):
    return AffineLearner(HeadConfig(**{"inputs": 12, **values}), SensorConfig(), codebook, CPU)


def frozen(trained, codebook):
    return AffineHead(trained.export(), codebook, 2)


def best_error(head, d, x_map):
    p = head.predict(d)
    error = np.linalg.norm(p.coords_map_NS3 - x_map[:, None], axis=2)
    return np.where(np.isfinite(p.sigma_m_NS), error, np.inf).min(axis=1)


@pytest.mark.parametrize("parts", ["all", "no origin", "no submap"])
def test_experts_say_what_the_slow_twin_says(parts):
    generator = torch.Generator().manual_seed(3)
    words, z = torch.randint(30, (50, 2), generator=generator), torch.randn(50, 2, 5)
    index = ExpertIndex(torch.randint(25, (90,), generator=generator), 30)  # some have none
    W, sigma, origin = torch.randn(90, 5, 3), torch.rand(90), torch.randn(90, 3)
    submap = None if parts == "no submap" else torch.randint(4, (90,))
    arguments = (words, z, index, W, sigma, submap, None if parts == "no origin" else origin)
    found, expected = predict_experts(*arguments), predict_at_once(*arguments)
    assert np.allclose(found.coords_map_NS3, expected.coords_map_NS3, atol=1e-5)
    assert np.array_equal(found.sigma_m_NS, expected.sigma_m_NS)
    if submap is None:
        assert found.submap_NS is expected.submap_NS is None
    else:
        assert np.array_equal(found.submap_NS, expected.submap_NS)


def test_the_frozen_head_says_what_its_slow_twins_say(codebook, monkeypatch):
    rng = np.random.default_rng(7)
    trained = learner(codebook, neighbors=2)
    for k in range(4):
        frame, d, _ = keyframe(codebook, rng, k, exp_se3(rng.normal(size=6) * 0.1))
        trained.observe(frame, frame.T_map_cam, submap=k % 2)
    whole = trained.export()
    for weights in (whole, {name: a for name, a in whole.items() if name != "submap"}):
        frozen_head = AffineHead(weights, codebook, 2)
        fast = frozen_head.predict(d)
        with monkeypatch.context() as without:
            for module in (head_module, grouped_vectors):
                without.setattr(module, "AVAILABLE", False)
            slow = frozen_head.predict(d)
        same = np.isfinite(fast.sigma_m_NS) & np.isfinite(slow.sigma_m_NS)
        assert same.sum() > 700
        assert np.isclose(fast.sigma_m_NS, slow.sigma_m_NS).mean() > 0.999
        assert np.isclose(fast.coords_map_NS3, slow.coords_map_NS3, atol=1e-4).mean() > 0.999
        assert (fast.submap_NS is None) == ("submap" not in weights)
        if fast.submap_NS is not None:
            assert (fast.submap_NS == slow.submap_NS).mean() > 0.999


def test_experts_that_were_not_learned_say_where_their_word_was_seen(codebook):
    rng = np.random.default_rng(8)
    words = rng.permutation(128)[:60]
    points = rng.uniform(-3, 3, (60, 3))
    weights = constant_experts(np.append(words, words[0]), np.vstack([points, [9, 9, 9]]), 128)
    p = AffineHead(weights, codebook, 1).predict(codebook.words_KD[words])
    assert np.allclose(p.coords_map_NS3[:, 0], points, atol=1e-3) and (p.sigma_m_NS > 0).all()


def test_what_was_seen_is_predicted(codebook):
    rng = np.random.default_rng(0)
    trained = learner(codebook, neighbors=1)
    for k in range(8):
        frame, d, x_map = keyframe(codebook, rng, k, exp_se3(rng.normal(size=6) * 0.1))
        assert trained.observe(frame, frame.T_map_cam) > 380
    _, d, x_map = keyframe(codebook, rng, 99, np.eye(4))
    assert np.median(best_error(frozen(trained, codebook), d, x_map)) < 0.03


def test_sums_equal_brute_force(codebook):
    rng = np.random.default_rng(1)
    trained = learner(codebook, neighbors=1, new_expert_m=10.0)
    frames = [keyframe(codebook, rng, k, exp_se3(rng.normal(size=6) * 0.1)) for k in range(3)]
    for frame, _, _ in frames:
        trained.observe(frame, frame.T_map_cam)
    word = int(trained._experts.word_E[0])
    rows = []
    for frame, _, _ in frames:
        words, z = encode_words(
            torch.from_numpy(frame.descriptors_ND), TorchCodebook(codebook, CPU), 1, 12)
        for index in torch.nonzero(words[:, 0] == word)[:, 0]:
            y = frame.points_cam_N3[index].astype(np.float64)
            sigma = 0.001 + 0.0025 * y[2] ** 2
            rows.append((z[index, 0].double().numpy(), frame.T_map_cam[:3, :3] @ y
                         + frame.T_map_cam[:3, 3], min(1.0, (0.0035 / sigma) ** 2)))
    Z, X = np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows])
    w = np.array([r[2] for r in rows])
    ridge = np.diag([HeadConfig().ridge] * (Z.shape[1] - 1) + [1e-6])
    origin = trained._experts.origin_E3[0].double().numpy()
    expected = np.linalg.solve((Z * w[:, None]).T @ Z + ridge, (Z * w[:, None]).T @ (X - origin))
    assert np.allclose(trained._experts.W_EP3[0].numpy(), expected, atol=2e-3)


def test_pruning_equals_never_having_seen_what_is_lost(codebook):
    """Half of a keyframe's features are of something that moved: they go in two steps."""
    rng = np.random.default_rng(12)
    pruned, clean = learner(codebook, neighbors=2), learner(codebook, neighbors=2)
    for k in range(4):
        T = exp_se3(rng.normal(size=6) * 0.1)
        good, _, _ = keyframe(codebook, rng, k, T, count=200)
        bad, _, _ = keyframe(codebook, rng, k, T, offset=6.0, count=200)
        both = replace(good, **{
            name: np.concatenate([getattr(good, name), getattr(bad, name)])
            for name in ("descriptors_i8_ND", "pixels_N2", "points_cam_N3")})
        pruned.observe(both, T)
        clean.observe(good, T)
        for lost in (slice(200, 300), slice(200, 300)):  # rows of what the step before has left
            kept = np.ones(len(both.points_cam_N3), bool)
            kept[lost] = False
            both = both.pick(kept)
            pruned.prune(both, T, kept)
    assert pruned.expert_count == clean.expert_count
    d = good.descriptors_ND

    def same():
        a, b = pruned.predict(d), clean.predict(d)
        known = np.isfinite(b.sigma_m_NS)
        assert (np.isfinite(a.sigma_m_NS) == known).all()
        assert np.abs(a.coords_map_NS3 - b.coords_map_NS3)[known].max() < 5e-3
        assert np.abs(a.sigma_m_NS[known] - b.sigma_m_NS[known]).max() < 2e-3

    same()
    for trained in (pruned, clean):
        trained.retarget({1: exp_se3(np.array([0.2, 0.0, 0.1, 0.0, 0.1, 0.0])), 3: np.eye(4)})
    same()
    pruned.prune(replace(both, id=77), np.eye(4), np.zeros(200, bool))  # unknown: nothing
    same()


def test_retargeting_equals_rebuilding(codebook):
    rng = np.random.default_rng(2)
    frames = [keyframe(codebook, rng, k, exp_se3(rng.normal(size=6) * 0.05))[0] for k in range(6)]
    moved = {f.id: exp_se3(rng.normal(size=6) * 0.01) @ f.T_map_cam for f in frames}
    trained = learner(codebook, new_expert_m=10.0)
    for frame in frames:
        trained.observe(frame, frame.T_map_cam)
    trained.retarget(moved)
    rebuilt = learner(codebook, new_expert_m=10.0)
    for frame in frames:
        rebuilt.observe(frame, moved[frame.id])
    asked = frames[0].descriptors_ND
    predictions = [head.predict(asked).coords_map_NS3 for head in (trained, rebuilt)]
    assert np.abs(predictions[0] - predictions[1]).max() < 1e-4
    assert np.allclose(trained.export()["sigma"], rebuilt.export()["sigma"], rtol=0.02)


def test_forgotten_keyframes_are_not_retargeted(codebook):
    rng = np.random.default_rng(6)
    trained = learner(codebook, new_expert_m=10.0)
    for k in range(4):
        frame, _, _ = keyframe(codebook, rng, k, exp_se3(rng.normal(size=6) * 0.05))
        trained.observe(frame, frame.T_map_cam)
    before = trained.export()["offset"].astype(int)
    trained.forget(1)
    trained.retarget({})
    assert np.abs(trained.export()["offset"] - before).max() <= 1


def test_experts_are_bounded_and_those_seen_often_stay(codebook):
    rng = np.random.default_rng(7)
    trained = learner(codebook, neighbors=1, max_experts=400)
    lasting = np.array([0.0, 0, 0])
    for k in range(60):
        offset = lasting if k % 2 else rng.uniform(-1, 1, 3)  # clutter that is seen once
        frame, _, _ = keyframe(codebook, rng, k, np.eye(4), offset=offset, count=60)
        trained.observe(frame, frame.T_map_cam)
        assert trained.expert_count <= 400
    _, d, x_map = keyframe(codebook, rng, 99, np.eye(4), offset=lasting)
    assert np.median(best_error(frozen(trained, codebook), d, x_map)) < 0.1
    before = trained.predict(d).coords_map_NS3
    trained.retarget({})  # what is left of the samples gives what is left of the experts
    assert np.abs(trained.predict(d).coords_map_NS3 - before).max() < 1e-4


def test_space_shares_the_experts_fairly():
    experts = Experts(3, CPU)
    experts.add(torch.arange(12), torch.tensor([[0.5, 0.5, 0.5]] * 9 + [[7.5, 0.5, 0.5]] * 3), 0)
    experts.views_E[:] = torch.tensor([9, 1, 8, 7, 6, 5, 4, 3, 2, 1, 2, 1])
    best = experts.ranked()[:6].tolist()
    assert sorted(best) == [0, 2, 3, 9, 10, 11]  # three of each cube, the most seen ones
    assert set(best[:2]) == {0, 10}


def test_experts_are_started_as_by_a_plain_loop(codebook):
    rng = np.random.default_rng(8)
    trained = learner(codebook, neighbors=1, experts_per_word=2, new_expert_m=0.3)
    frame, _, _ = keyframe(codebook, rng, 0, np.eye(4), count=300)
    spread = frame.points_cam_N3 + rng.choice([0.0, 3.0, 6.0], (300, 1)).astype(np.float32)
    frame = Keyframe(0, 0, np.eye(4), frame.descriptors_i8_ND, frame.pixels_N2, spread, CAMERA)
    used = trained.observe(frame, np.eye(4))
    words = codebook.nearest(frame.descriptors_ND, 1)[:, 0].tolist()
    places, kept = {}, 0
    for word, x in zip(words, spread, strict=True):
        own = places.setdefault(word, [])
        if any(np.linalg.norm(x - origin) < 0.3 for origin in own):
            kept += 1
        elif len(own) < 2:
            own.append(x)
            kept += 1
    assert used == kept
    assert trained.expert_count == sum(len(own) for own in places.values())


def test_one_word_stands_for_several_places(codebook):
    rng = np.random.default_rng(3)
    trained = learner(codebook, neighbors=1, experts_per_word=3)
    for k in range(5):
        for place in range(3):
            frame, _, _ = keyframe(
                codebook, rng, 10 * k + place, np.eye(4), offset=np.array([4.0 * place, 0, 0]))
            trained.observe(frame, frame.T_map_cam)
    head = frozen(trained, codebook)
    for place in range(3):
        _, d, x_map = keyframe(codebook, rng, 0, np.eye(4), offset=np.array([4.0 * place, 0, 0]))
        assert np.median(best_error(head, d, x_map)) < 0.06


def test_sigma_tells_good_experts_from_bad(codebook):
    rng = np.random.default_rng(4)
    trained = learner(codebook, new_expert_m=10.0, neighbors=1)
    for k in range(10):
        frame, _, _ = keyframe(codebook, rng, k, np.eye(4))
        noisy = frame.points_cam_N3.copy()
        words, _ = encode_words(
            torch.from_numpy(frame.descriptors_ND), TorchCodebook(codebook, CPU), 1, 12)
        bad = words[:, 0].numpy() < 64
        noisy[bad] += rng.normal(scale=0.3, size=(bad.sum(), 3)).astype(np.float32)
        frame = Keyframe(k, k, np.eye(4), frame.descriptors_i8_ND, frame.pixels_N2, noisy, CAMERA)
        trained.observe(frame, np.eye(4))
    export = trained.export()
    bad = np.repeat(np.arange(128), export["count"]) < 64
    assert np.median(export["sigma"][bad]) > 4 * np.median(export["sigma"][~bad])


def test_weights_that_do_not_fit_are_refused(codebook):
    trained = learner(codebook)
    frame, _, _ = keyframe(codebook, np.random.default_rng(5), 0, np.eye(4))
    trained.observe(frame, np.eye(4))
    weights = trained.export()
    with pytest.raises(MapError, match="codebook"):
        AffineHead({**weights, "count": weights["count"] + 1}, codebook, 2)
    del weights["sigma"]
    with pytest.raises(MapError, match="sigma"):
        AffineHead(weights, codebook, 2)


def test_empty_head_predicts_nothing(codebook):
    head = frozen(learner(codebook), codebook)
    assert not np.isfinite(head.predict(np.zeros((3, 16), np.float32)).sigma_m_NS).any()
