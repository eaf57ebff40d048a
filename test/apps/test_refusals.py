"""What a recording of queries is told about those that were not answered."""

from types import SimpleNamespace

from ace_slam_ros.apps.relocalize import refusals
from ace_slam_ros.core.localization.relocalizer import RelocalizationReason as Reason


def answer(reason, message=""):
    return SimpleNamespace(success=reason is Reason.OK, reason=reason, message=message)


def test_refusals_are_counted_by_reason():
    answers = [answer(Reason.OK), answer(Reason.NO_SOLUTION, "too dark"),
               answer(Reason.LOW_CONFIDENCE, "3 %"), answer(Reason.LOW_CONFIDENCE, "5 %")]
    assert list(refusals(answers).items()) == [
        ("LOW_CONFIDENCE", {"count": 2, "first": "3 %"}),
        ("NO_SOLUTION", {"count": 1, "first": "too dark"})]
    assert refusals(answers[:1]) == {}
