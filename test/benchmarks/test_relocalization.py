"""The relocalization benchmark's measures on made-up answers, and its queries."""

import numpy as np
import pytest
from lib.known_poses import PosedFrame
from lib.relocalization_answers import Answer, by_value, calibration, recall, summary
from lib.relocalization_queries import from_the_side, pixels_only, turned

from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.synth.worlds import make_world


def answer(value=0.0, known=True, answered=True, right=True, probability=0.9, case="a"):
    return Answer(case, value, known, answered, right, True, probability, "OK", 10.0)


def test_recall_counts_known_places_and_wrong_answers_are_told():
    answers = [answer(), answer(right=False), answer(answered=False), answer(known=False,
                                                                            right=False)]
    assert recall(answers) == pytest.approx(1 / 3)
    assert recall([answer(known=False)]) is None
    assert summary(answers)["wrong"] == 2
    assert by_value([answer(15.0), answer(30.0, right=False)])[30.0]["recall"] == 0.0


def test_calibration_is_the_gap_between_claim_and_truth():
    fair = [answer(probability=0.75, right=k < 3) for k in range(4)]
    assert calibration(fair)[0] == pytest.approx(0.0)
    error, bins = calibration([answer(probability=0.95, right=k < 1) for k in range(4)])
    assert error == pytest.approx(0.7) and bins[0]["queries"] == 4
    assert calibration([]) == (None, [])


@pytest.mark.render
def test_queries_are_what_they_say():
    world = make_world("room", 1)
    poses = world.trajectory(60).T_map_cam_N44[::12]
    mapped = [PosedFrame(world.picture(T, n).frame, T) for n, T in enumerate(poses)]
    upside_down, = turned("t", mapped[:1], [180])
    assert pose_error(upside_down.T_map_cam, mapped[0].T_map_cam)[1] == pytest.approx(np.pi)
    assert all(q.frame.depth_m is None for q in pixels_only("p", mapped))
    asked = list(from_the_side("s", world, mapped, (20.0, 45.0), 2, seed=1))
    assert asked and all(20.0 <= q.value < 45.0 for q in asked)
