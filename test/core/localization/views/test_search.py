"""The search of views: it ends where a whole view is sure, not only its middle."""

import numpy as np
import pytest
from helpers.rooms import CONFIG

from ace_slam_ros.core.data.poses import PoseEstimate
from ace_slam_ros.core.data.predictions import no_predictions
from ace_slam_ros.core.localization.views import search

pytestmark = pytest.mark.render


class Head:
    """It knows nothing: the poses of the tests are written down."""

    def predict(self, descriptors_ND):
        return no_predictions(len(descriptors_ND))


@pytest.mark.parametrize(("confidences", "found", "views"), [
    ([0.5], 0.5, 1),
    ([None, 0.25, 0.4], 0.4, 2),
    ([None, 0.25, 0.1, 0.3, 0.6], 0.6, 3),  # a step off, only the middle is sure
    ([0.1] + [None] * 15, 0.1, 16)])
def test_the_search_ends_where_a_whole_view_is_sure(
    encoder, room_frames, monkeypatch, confidences, found, views
):
    coming = iter(confidences)

    def solve(features, *_):
        confidence = next(coming)
        return None if confidence is None else PoseEstimate(
            np.eye(4), np.eye(6), np.ones(len(features), bool), 1.0, confidence)

    monkeypatch.setattr(search, "solve_rgbd", solve)
    look, tried = search.ViewSearch(CONFIG, encoder).best(room_frames[45], Head())
    assert look.pose.confidence == found and tried == views
    assert next(coming, "no more looks") == "no more looks"
