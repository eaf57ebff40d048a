"""Scene-coordinate poses replace tracked ones where drift explains it, not where doors repeat."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ace_slam_ros.core.config.sections import TrackerConfig
from ace_slam_ros.core.data.poses import AlignedPose, PoseEstimate, SubmapPose, Support
from ace_slam_ros.core.tracking.pose_selection import (
    PoseSelection,
    Recovery,
    Verdict,
    judge,
    overrides,
    reachable,
)

HELD, BARELY = 180, 60


def at(x_m):
    T = np.eye(4)
    T[0, 3] = x_m
    return T


@pytest.mark.parametrize(("gap_m", "ratio", "inliers", "traveled_m", "expected"), [
    (0.10, 0.9, HELD, 20.0, False),  # they agree
    (0.60, 0.4, HELD, 20.0, False),  # not sure enough
    (0.60, 0.9, HELD, 20.0, True),  # drift of a long way
    (0.60, 0.9, HELD, 2.0, False),  # too much for a short one
    (7.00, 0.9, HELD, 20.0, False),  # the next door
    (7.00, 0.9, BARELY, 20.0, True),  # carried away: image tracks hardly hold
])
def test_override(gap_m, ratio, inliers, traveled_m, expected):
    raw = PoseEstimate(at(gap_m), np.eye(6), np.ones(10, bool), ratio, ratio)
    refined = AlignedPose(at(0.0), np.eye(6), inliers, 200)
    assert overrides(raw, refined, TrackerConfig(), traveled_m) is expected
    elsewhere = replace(raw, submap=1)  # how far that is nobody knows
    assert overrides(elsewhere, refined, TrackerConfig(), traveled_m) is (
        inliers == BARELY and ratio > 0.5)


def look(ratio, agreeing, followed):
    """What a look of the head says, and the tracks near there: arguments of `Recovery.found`."""
    raw = PoseEstimate(at(0.0), np.eye(6), np.ones(10, bool), ratio, ratio)
    refined = AlignedPose(at(0.0), np.eye(6), agreeing, followed) if agreeing else None
    return raw, refined, followed


@pytest.mark.parametrize(("ratio", "agreeing", "followed", "expected"), [
    (0.2, 0, 10, True),  # no image to compare with: the solver gave it
    (0.2, 0, 100, False),  # the image there shows otherwise
    (0.2, 180, 200, True),  # image tracks hold
    (0.35, 60, 200, False),  # they do not: a place that looks alike
    (0.6, 60, 200, True),  # the same place from elsewhere
    (0.6, 130, 330, False),  # from as near as that, more would agree
    (0.6, 0, 100, True),
])
def test_recovery(ratio, agreeing, followed, expected):
    assert Recovery(TrackerConfig()).found(*look(ratio, agreeing, followed)) is expected


def test_a_place_that_looks_alike_is_not_believed_by_luck():
    recovery = Recovery(TrackerConfig())
    for agreeing in (70, 90, 80, 106, 84):  # of 200; more than half once
        assert not recovery.found(*look(0.4, agreeing, 200))
    assert not recovery.found(*look(0.2, 0, 10)), "a look without tracks says nothing against them"
    assert recovery.found(*look(0.4, 150, 200)), "the right place is believed at once all the same"
    recovery.clear()
    assert recovery.found(*look(0.4, 106, 200))


@pytest.mark.parametrize(("gap_m", "traveled_m", "expected"), [
    (0.1, 0.0, True), (0.5, 0.0, False),  # a camera does not jump
    (0.5, 20.0, True),  # drift of a long way, which the loop shows
    (2.4, 40.0, False),  # the next door
])
def test_a_camera_just_tracked_is_not_carried_elsewhere(gap_m, traveled_m, expected):
    raw = PoseEstimate(at(gap_m), np.eye(6), np.ones(10, bool), 0.9, 0.9)
    assert reachable(raw, SubmapPose(at(0.0)), TrackerConfig(), traveled_m) is expected


RAW = PoseEstimate(at(0.0), np.eye(6), np.ones(10, bool), 0.9, 0.9)
FAR = PoseEstimate(at(7.0), np.eye(6), np.ones(10, bool), 0.9, 0.9)
WELL, ILL = (AlignedPose(at(0.0), np.eye(6), count, 200) for count in (HELD, BARELY))
HERE = SubmapPose(at(0.0))


@pytest.mark.parametrize(("raw", "aligned", "predicted", "is_unsure", "expected"), [
    (None, WELL, HERE, False, Verdict.KEEP),  # the head was not asked
    (None, None, HERE, False, Verdict.SEARCH),
    (None, None, None, True, Verdict.SEARCH),
    (RAW, None, None, True, Verdict.VERIFY),
    (RAW, None, HERE, False, Verdict.REPLACE),
    (FAR, None, HERE, False, Verdict.SEARCH),  # a camera does not jump
    (FAR, None, None, False, Verdict.REPLACE),  # nothing says where it was
    (RAW, WELL, HERE, False, Verdict.KEEP),
    (RAW, ILL, HERE, False, Verdict.COMPARE),
    (FAR, ILL, HERE, False, Verdict.REPLACE),
    (FAR, WELL, HERE, False, Verdict.KEEP),  # the next door
    (FAR, WELL, HERE, True, Verdict.VERIFY),  # or tracked on from a guess
    (RAW, WELL, HERE, True, Verdict.KEEP),
])
def test_what_is_done_about_what_both_say(raw, aligned, predicted, is_unsure, expected):
    verdict = judge(raw, aligned, predicted, TrackerConfig(), 2.0, is_unsure=is_unsure)
    assert verdict is expected


@pytest.mark.parametrize(("contested", "predicted", "there", "believed"), [
    (False, None, None, True),
    (True, None, None, False),
    (True, SubmapPose(at(0.0)), None, True),  # somebody said that it is here
    (True, None, AlignedPose(at(0.0), np.eye(6), 180, 200), True),  # images of the place hold it
])
def test_a_lost_camera_does_not_believe_what_another_place_contests(
    contested, predicted, there, believed
):
    raw, _, _ = look(0.2, 0, 0)
    localizer = SimpleNamespace(
        rival=lambda pose: None, is_flat=lambda pose: False, is_contested=lambda least: contested,
        support=Support(0.2, 60, 0.3))
    selection = PoseSelection(TrackerConfig(), None, None, None, localizer)
    assert (selection._told_apart(raw, there, predicted) is raw) is believed
    assert ("only 30 % likely" in selection.rival) is not believed
