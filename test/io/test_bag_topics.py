"""Which topics of a bag are the camera's."""

import pytest

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io.bag_topics import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    POSE,
    choose_topics,
)


def test_topics_of_common_cameras():
    realsense = {
        "/camera/camera/color/image_raw": IMAGE, "/camera/camera/color/camera_info": CAMERA_INFO,
        "/camera/camera/depth/image_rect_raw": IMAGE,
        "/camera/camera/depth/camera_info": CAMERA_INFO,
        "/camera/camera/aligned_depth_to_color/image_raw": IMAGE,
        "/camera/camera/aligned_depth_to_color/camera_info": CAMERA_INFO,
        "/camera/camera/infra1/image_rect_raw": IMAGE, "/tf": "tf2_msgs/msg/TFMessage",
        "/robot/pose": POSE, "/ground_truth/pose": POSE,
    }
    topics = choose_topics(realsense, {})
    assert topics.color == "/camera/camera/color/image_raw"
    assert topics.info == "/camera/camera/color/camera_info"
    assert topics.depth == "/camera/camera/aligned_depth_to_color/image_raw"
    assert topics.groundtruth == "/ground_truth/pose"
    kinect = {
        "/camera/rgb/image_color/compressed": COMPRESSED, "/camera/rgb/camera_info": CAMERA_INFO,
        "/camera/depth/image/compressedDepth": COMPRESSED,
        "/camera/depth/camera_info": CAMERA_INFO,
    }
    topics = choose_topics(kinect, {})
    assert topics.color == "/camera/rgb/image_color/compressed"
    assert topics.info == "/camera/rgb/camera_info"
    assert topics.depth == "/camera/depth/image/compressedDepth"
    assert topics.groundtruth is None
    wanted = {"depth": "/camera/camera/depth/image_rect_raw"}
    assert choose_topics(realsense, wanted).depth == wanted["depth"]
    with pytest.raises(DataError, match="no messages on the depth topic /x; topics found: "):
        choose_topics(realsense, {"depth": "/x"})
    del realsense["/camera/camera/color/camera_info"]
    with pytest.raises(DataError, match="record /camera/camera/color/camera_info too"):
        choose_topics(realsense, {})
