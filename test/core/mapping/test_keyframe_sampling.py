"""Which keyframes a window takes, and how well a head explains one."""

import numpy as np
import pytest
from helpers.keyframes import SOLVER, keyframe, wall

from ace_slam_ros.core.config.sections import (
    MapperConfig,
)
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.mapping.keyframe_sampling import KeyframeSampler, explained_share


def test_windows_hold_the_newest_and_others_by_error():
    config = MapperConfig(window_newest=3, window_sampled=1, window_error_weight=0.5)
    window = KeyframeSampler(config, seed=0)
    identifiers = list(range(10, 23))
    others = identifiers[:-3]
    for i in others:
        window.note(i, 0.0 if i == 12 else 0.9)
    expected = np.array([0.1 + 0.5 * (1.0 if i == 12 else 0.1) for i in others])
    assert np.allclose(window.probabilities(others), expected / expected.sum())
    drawn = [window.draw(identifiers) for _ in range(3000)]
    assert all(d[:3] == [22, 21, 20] and len(d) == 4 and d[3] in others for d in drawn)
    share = np.array([sum(d[3] == i for d in drawn) for i in others]) / len(drawn)
    assert np.abs(share - expected / expected.sum()).max() < 0.03
    assert window.draw([5]) == [5] and window.draw([4, 5]) == [5, 4]
    window.forget(12)
    once, again = (KeyframeSampler(config, 1).draw(identifiers) for _ in range(2))
    assert once == again


def test_the_explained_share_counts_hypotheses_that_agree():
    rng = np.random.default_rng(0)
    frame = keyframe(0, np.eye(4), wall(rng, 40))
    T = exp_se3(np.array([0.3, -0.2, 0.1, 0.1, 0.2, 0.3]))
    coords = np.full((40, 2, 3), 9.0, np.float32)
    coords[:10, 1] = frame.points_cam_N3[:10] @ T[:3, :3].T + T[:3, 3]
    sigma = np.full((40, 2), 0.05, np.float32)
    sigma[:4] = np.inf
    share = explained_share(frame, SubmapPose(T), Predictions(coords, sigma), SOLVER)
    assert share == pytest.approx(6 / 40)
