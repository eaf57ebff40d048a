"""A pose tells its segment, and weights tell which are unjoined."""

import numpy as np
import torch

from ace_slam_ros.core.data.predictions import Predictions
from ace_slam_ros.core.data.submaps import (
    MOST_SEGMENTS,
    SPACING_M,
    first_pose,
    free_segment,
    only_segment,
    segment_of,
    segments_of,
)
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.core.heads.payload import HeadInfo, pack_head, read_info


def test_a_pose_tells_its_segment():
    T_first = exp_se3(np.array([1.0, -2.0, 0.5, 0.3, 0.2, -0.1]))
    for number in range(MOST_SEGMENTS + 1):
        T = first_pose(number, T_first)
        assert segment_of(T) == number and np.array_equal(T[:3, :3], T_first[:3, :3])
    points = np.array([[-150.0, 0, 0], [99.0, 0, 0], [101.0, 500.0, 0], [3 * SPACING_M, 0, 0]])
    assert segments_of(points).tolist() == [0, 0, 1, 3]
    assert free_segment(()) == 1 and free_segment((1, 3)) == 2
    assert free_segment(range(1, MOST_SEGMENTS + 1)) is None
    kept = only_segment(Predictions(points[None].astype(np.float32),
                                    np.ones((1, 4), np.float32)), 1)
    assert np.isfinite(kept.sigma_m_NS).tolist() == [[False, False, True, False]]


def test_weights_tell_the_segments_that_are_unjoined():
    info = HeadInfo("m", "cafe", "affine", 3, 4, 1, (1, 3))
    blob = pack_head({"a": torch.zeros(1)}, info)
    assert read_info(blob) == info
    length = int.from_bytes(blob[:8], "little")
    text = blob[8:8 + length].replace(b'"segments":"1 3"', b'"somebody":"1 3"')
    assert read_info(blob[:8] + text + blob[8 + length:]).segments == ()  # written before
