"""The picture of a run."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.trajectories import moved, noisy, smooth

from ace_slam_ros.core.data.trajectory import Trajectory
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.core.geometry.se3 import exp_se3
from ace_slam_ros.evaluation.plots import plot_trajectory


@pytest.mark.parametrize("case", ["all", "no truth", "empty"])
def test_picture(tmp_path, case):
    truth = smooth(120)
    estimate = moved(exp_se3(np.ones(6)), noisy(truth, 0.01))
    if case == "empty":
        estimate = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    position = estimate.T_map_cam_N44[3, :3, 3] if len(estimate) else np.zeros(3)
    path = tmp_path / "trajectory.png"
    plot_trajectory(
        path, estimate, None if case == "no truth" else truth,
        raw=noisy(truth, 0.02) if case == "all" else None, title="a run",
        relocalizations=[(position, truth.T_map_cam_N44[3, :3, 3])])
    image = cv2.imread(str(path))
    assert image.shape == (660, 1430, 3)
    saturation = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[..., 1]
    assert (saturation > 60).sum() > (2000 if case == "all" else 100)  # colored lines, not blank


def test_unwritable_picture(tmp_path):
    with pytest.raises(DataError, match="cannot write"):
        plot_trajectory(Path(tmp_path) / "missing" / "a.png", smooth(5))
