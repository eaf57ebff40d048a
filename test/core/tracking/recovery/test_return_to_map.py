"""A camera that walks back from a submap, rolled, is in the map again: no keyframe could tell."""

import numpy as np
import pytest
from helpers.tracking import process
from helpers.worlds import world_shots

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.localization.views.query_views import rolled
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.result import TrackerState, TrackingHints
from ace_slam_ros.core.tracking.tracker import Tracker

pytestmark = pytest.mark.render
CONFIG = SlamConfig().with_overrides(
    ["encoder.threads=1", "device=cpu", "tracker.submap_after_s=0.3"])
STEP_NS = 66_666_667
#: As in the tests of new submaps: frames 0..22 show nothing of what the last ones show.
KNOWN, AWAY_FIRST, AWAY_LAST = 23, 55, 0


def at(frame, number):
    return Frame(10**9 + number * STEP_NS, frame.image, frame.depth_m, frame.camera)


def test_a_camera_walks_back_rolled(encoder):
    room = world_shots("room", 0, range(0, 112, 2))
    tracker = Tracker(CONFIG, encoder, map_id="m")
    mapper = Mapper(CONFIG, encoder, map_id="m")
    errors_m, submaps = [], []
    order = [*range(KNOWN), *[None] * 6, *range(AWAY_FIRST, AWAY_LAST - 1, -1)]
    for number, index in enumerate(order):
        frame, T_true = room[index or 0]
        if index is None:
            frame = Frame(0, np.zeros_like(frame.image), np.zeros_like(frame.depth_m),
                          frame.camera)
        elif number > KNOWN:
            view = rolled(frame, np.radians(90.0))
            frame, T_true = view.frame, T_true @ view.T_cam_view
        result = process(tracker, at(frame, number),
                         TrackingHints(T_map_cam_first=room[0][1]))
        submaps.append(result.submap if result.state is TrackerState.TRACKING else None)
        if result.has_map_pose:
            errors_m.append(pose_error(result.T_map_cam, T_true)[0])
        for keyframe in result.keyframes:
            mapper.add_keyframe(keyframe, "m")
        if result.keyframes and mapper.work(float("inf")):
            tracker.set_head(mapper.export_head(), number + 1)
    assert 1 in submaps, "it was in an unknown place"
    assert submaps[-1] == 0, "and is in the map again"
    back = len(submaps) - submaps[::-1].index(1)
    assert len(submaps) - back >= 5
    assert max(errors_m) < 0.05
