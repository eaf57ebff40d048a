"""Heads that are asked together keep their own answers."""

import numpy as np
import pytest
from helpers import scene_heads as scene

from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.heads.combined import joined, split
from ace_slam_ros.core.heads.factory import make_learner


def test_both_heads_answer_as_they_do_alone():
    learners = {kind: make_learner(scene.config(kind), scene.encoder())
                for kind in ("affine", "aceg", "affine+aceg")}
    for learner in learners.values():
        for number, frame in enumerate(scene.keyframes(3)):
            learner.observe(frame, frame.T_map_cam, number % 2)
    d = scene.describe(scene.some_points(np.random.default_rng(2), 50))
    first, second, both = (learner.predict(d) for learner in learners.values())
    assert both.sigma_m_NS.shape[1] == first.sigma_m_NS.shape[1] + second.sigma_m_NS.shape[1]
    for name in ("coords_map_NS3", "sigma_m_NS", "submap_NS"):
        alone = np.concatenate([getattr(first, name), getattr(second, name)], axis=1)
        assert np.array_equal(getattr(both, name), alone)


def test_submaps_that_only_one_head_names_are_kept():
    one = Predictions(np.zeros((2, 1, 3), np.float32), np.ones((2, 1), np.float32))
    other = Predictions(np.zeros((2, 2, 3), np.float32), np.ones((2, 2), np.float32),
                        np.full((2, 2), 3, np.uint8))
    assert joined([one, one]).submap_NS is None
    assert joined([one, other]).submap_NS.tolist() == [[0, 3, 3], [0, 3, 3]]


def test_weights_of_no_head_are_refused():
    with pytest.raises(MapError, match="affine"):
        split({"count": np.zeros(1)}, ("affine", "aceg"))
