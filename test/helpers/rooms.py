"""A rendered room and what is mapped in it."""

from collections import Counter

import numpy as np

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.tracker import Tracker
from helpers.tracking import new_keyframe, process

CONFIG = SlamConfig().with_overrides(["encoder.threads=1", "device=cpu"])
LOCALIZATION = CONFIG.with_values({"mode": "localization"})
FRAMES = 75


def map_room(encoder, frames):
    """A mapper that has seen the frames, and the results of the tracker."""
    tracker = Tracker(CONFIG, encoder)
    mapper = Mapper(CONFIG, encoder, map_id=tracker.map_id)
    results = []
    for frame in frames:
        results.append(process(tracker, frame))
        if (keyframe := new_keyframe(results[-1])) is not None:
            mapper.add_keyframe(keyframe, tracker.map_id)
            mapper.work(float("inf"))
            tracker.set_head(mapper.export_head(), len(results))
    return mapper, results


def black(frame):
    """The frame in a dark room, with no depth."""
    return Frame(frame.stamp_ns, np.zeros_like(frame.image), np.zeros_like(frame.depth_m),
                 frame.camera)


def keyframes_by_submap(mapper):
    """How many keyframes each submap of a mapper has."""
    return dict(sorted(Counter(pose.submap for pose in mapper.keyframe_poses.values()).items()))
