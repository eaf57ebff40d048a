"""One frame through the tracker, as an offline run or a node does it."""

import math

from ace_slam_ros.core.tracking.result import TrackingHints


def process(tracker, frame, hints=None, deadline_s=math.inf):
    """Track a frame and do the work after it; the complete result."""
    result = tracker.track(frame, hints or TrackingHints())
    return result.with_work(tracker.work(deadline_s))


def new_keyframe(result):
    """The keyframe that a frame became, None when it became none."""
    return next((k for k in result.keyframes if k.stamp_ns == result.stamp_ns), None)
