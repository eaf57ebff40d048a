"""Which topics of a bag are one camera's, as the drivers of many makers name them."""

from types import SimpleNamespace

import numpy as np
import pytest

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io.bags.file import CAMERA_INFO, COMPRESSED, IMAGE, POSE
from ace_slam_ros.io.bags.streams import Stream
from ace_slam_ros.io.bags.topics import TopicNames, choose_topics

STAMPS = tuple(range(0, 10 * 33_000_000, 33_000_000))


def image(topic, encoding, frame="", size=(640, 480), stamps=STAMPS):
    kind = COMPRESSED if "ompressed" in topic else IMAGE
    return Stream(topic, kind, 10, encoding, size, frame, stamps)


def info(topic, frame="", f=600.0, size=(640, 480)):
    message = SimpleNamespace(
        k=np.array([f, 0, 320, 0, f, 240, 0, 0, 1]), d=np.zeros(5),
        p=np.array([f, 0, 320, 0, 0, f, 240, 0, 0, 0, 1, 0]), distortion_model="plumb_bob")
    return Stream(topic, CAMERA_INFO, 10, "", size, frame, info=message)


def choose(streams, **wanted):
    found = choose_topics({s.topic: s for s in streams}, TopicNames(**wanted))
    return found.color, found.depth, found.info


def realsense(name="camera", frame="camera", f=600.0, frames=True):
    """The topics of realsense2_camera with everything turned on."""
    color, depth = (f"{frame}_{s}_optical_frame" if frames else "" for s in ("color", "depth"))
    return [
        image(f"/{name}/color/image_raw", "rgb8", color),
        info(f"/{name}/color/camera_info", color, f),
        image(f"/{name}/depth/image_rect_raw", "16UC1", depth, (848, 480)),
        info(f"/{name}/depth/camera_info", depth, 420.0, (848, 480)),
        image(f"/{name}/aligned_depth_to_color/image_raw", "16UC1", color),
        info(f"/{name}/aligned_depth_to_color/camera_info", color, f),
        image(f"/{name}/infra1/image_rect_raw", "mono8", f"{frame}_infra1_optical_frame")]


REALSENSE = ("/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw",
             "/camera/color/camera_info")
KINECT = [
    image("/camera/rgb/image_color/compressed", "bgr8; jpeg compressed bgr8", "rgb"),
    info("/camera/rgb/camera_info", "rgb"), info("/camera/depth/camera_info", "depth", 580.0),
    image("/camera/depth/image/compressedDepth", "32FC1; compressedDepth", "depth"),
    image("/camera/depth_registered/image/compressedDepth", "16UC1; compressedDepth", "rgb")]
AZURE = [
    image("/rgb/image_raw", "bgra8", "rgb_camera_link", (1280, 720)),
    info("/rgb/camera_info", "rgb_camera_link", 610.0, (1280, 720)),
    image("/depth/image_raw", "32FC1", "depth_camera_link", (640, 576)),
    info("/depth/camera_info", "depth_camera_link", 504.0, (640, 576)),
    image("/depth_to_rgb/image_raw", "32FC1", "rgb_camera_link", (1280, 720)),
    info("/depth_to_rgb/camera_info", "rgb_camera_link", 610.0, (1280, 720)),
    image("/rgb_to_depth/image_raw", "bgra8", "depth_camera_link", (640, 576)),
    info("/rgb_to_depth/camera_info", "depth_camera_link", 504.0, (640, 576)),
    image("/ir/image_raw", "mono16", "depth_camera_link", (640, 576)),
    info("/ir/camera_info", "depth_camera_link", 504.0, (640, 576))]
OAK = [
    image("/oak/rgb/image_raw", "bgr8", "oak_rgb_camera_optical_frame"),
    info("/oak/rgb/camera_info", "oak_rgb_camera_optical_frame"),
    image("/oak/left/image_raw", "mono8", "oak_left_camera_optical_frame"),
    info("/oak/left/camera_info", "oak_left_camera_optical_frame", 450.0),
    image("/oak/stereo/image_raw", "16UC1", "oak_rgb_camera_optical_frame"),
    info("/oak/stereo/camera_info", "oak_rgb_camera_optical_frame")]
ZED = [
    image("/zed/zed_node/rgb/image_rect_color", "bgra8", "zed_left"),
    info("/zed/zed_node/rgb/camera_info", "zed_left", 520.0),
    image("/zed/zed_node/rgb_raw/image_raw_color", "bgra8", "zed_left"),
    info("/zed/zed_node/rgb_raw/camera_info", "zed_left", 535.0),
    image("/zed/zed_node/right/image_rect_color", "bgra8", "zed_right"),
    info("/zed/zed_node/right/camera_info", "zed_right", 520.0),
    image("/zed/zed_node/depth/depth_registered", "32FC1", "zed_left"),
    info("/zed/zed_node/depth/camera_info", "zed_left", 520.0),
    image("/zed/zed_node/confidence/confidence_map", "32FC1", "zed_left")]
TWO = realsense("front", "front") + realsense("rear_camera", "rear", 610.0)
#: Like cameras of careless launch files: nothing but the namespaces tells them apart.
TWINS = realsense("a", frames=False) + realsense("long_name", frames=False)


@pytest.mark.parametrize(("streams", "expected"), [
    (realsense(), REALSENSE),
    (KINECT, ("/camera/rgb/image_color/compressed",
              "/camera/depth_registered/image/compressedDepth", "/camera/rgb/camera_info")),
    (AZURE, ("/rgb/image_raw", "/depth_to_rgb/image_raw", "/rgb/camera_info")),
    ([s for s in AZURE if "depth_to_rgb" not in s.topic],
     ("/rgb_to_depth/image_raw", "/depth/image_raw", "/rgb_to_depth/camera_info")),
    (OAK, ("/oak/rgb/image_raw", "/oak/stereo/image_raw", "/oak/rgb/camera_info")),
    (ZED, ("/zed/zed_node/rgb/image_rect_color", "/zed/zed_node/depth/depth_registered",
           "/zed/zed_node/rgb/camera_info")),
    # A web camera with a shorter name has no depth of its own.
    ([image("/rgb", "rgb8", "web"), info("/camera_info", "web"), *realsense()], REALSENSE),
    # The second camera's depth was not recorded.
    (realsense() + realsense("b", "b")[:2], REALSENSE),
    # The second camera's depth is of another clock.
    (realsense() + [image("/b/color/image_raw", "rgb8", "b"), info("/b/color/camera_info", "b"),
                    image("/b/depth/image_raw", "16UC1", "b", stamps=tuple(
                        s + 10**12 for s in STAMPS))], REALSENSE),
    # Raw images before compressed ones of the same camera.
    ([image("/camera/color/image_raw/compressed", "rgb8; jpeg", "camera_color_optical_frame"),
      *realsense()], REALSENSE),
], ids=["realsense", "kinect", "azure", "azure without depth_to_rgb", "oak", "zed", "web camera",
        "second color", "second clock", "transports"])
def test_topics_of_one_camera(streams, expected):
    assert choose(streams) == expected
    assert choose(streams[::-1]) == expected


@pytest.mark.parametrize("streams", [TWO, TWINS], ids=["two", "twins"])
def test_two_cameras_are_a_question_and_one_option_the_answer(streams):
    names = sorted({s.topic.split("/")[1] for s in streams})
    with pytest.raises(DataError) as refused:
        choose(streams)
    for name in names:
        color, depth = f"/{name}/color/image_raw", f"/{name}/aligned_depth_to_color/image_raw"
        assert f"--color {color} --depth {depth}" in str(refused.value)
        answer = (color, depth, f"/{name}/color/camera_info")
        assert choose(streams, color=color) == answer
        assert choose(streams, depth=depth) == answer


def test_color_alone_of_two_cameras_is_a_question():
    streams = [image("/usb_cam/image_raw", "rgb8"), info("/usb_cam/camera_info"),
               image("/usb_cam2/image_raw", "rgb8"), info("/usb_cam2/camera_info")]
    with pytest.raises(DataError, match="choose one: --color /usb_cam/image_raw | --color"):
        choose(streams)
    assert choose(streams, color="/usb_cam2/image_raw") == (
        "/usb_cam2/image_raw", None, "/usb_cam2/camera_info")


def test_what_speaks_for_a_pair_is_told():
    found = choose_topics({s.topic: s for s in realsense()})
    assert found.reason == "same size, frame, calibration; 100 % of the first stamps pair"
    assert found.reason in str(found)
    assert found.to_dict() == {
        "color": REALSENSE[0], "depth": REALSENSE[1], "info": REALSENSE[2],
        "reason": found.reason}
    loose = [s for s in realsense() if "aligned" not in s.topic]
    found = choose_topics({s.topic: s for s in loose})
    assert found.depth == "/camera/depth/image_rect_raw"
    assert found.depth_info == "/camera/depth/camera_info", "by which depth is registered"


def test_the_calibration_of_another_camera_is_not_borrowed():
    color, depth = image("/a/color", "rgb8", "a"), image("/a/depth", "16UC1", "a")
    assert choose([color, depth, info("/calibration", "a")])[2] == "/calibration"
    for other in (info("/b/camera_info", "b"), info("/b/camera_info", "a", size=(320, 240))):
        with pytest.raises(DataError, match=r"record /a/camera_info too, or name it \(--info\)"):
            choose([color, depth, other])
        assert choose([color, depth, other], info=other.topic)[2] == other.topic


def test_named_topics_are_taken_or_refused():
    wanted = "/camera/depth/image_rect_raw"
    assert choose(realsense(), depth=wanted)[1] == wanted
    assert choose(realsense(), color="/camera/infra1/image_rect_raw", info=REALSENSE[2])[0] == (
        "/camera/infra1/image_rect_raw")
    with pytest.raises(DataError, match="no messages on the depth topic /x; topics found: .*rgb8"):
        choose(realsense(), depth="/x")
    with pytest.raises(DataError, match="/camera/color/camera_info is of type .* not an image"):
        choose(realsense(), color=REALSENSE[2])
    with pytest.raises(DataError, match="record /camera/color/camera_info too"):
        choose([s for s in realsense() if s.topic != REALSENSE[2] and "aligned" not in s.topic])


@pytest.mark.parametrize(("truths", "expected"), [
    ({"/ground_truth/pose": 3000, "/groundtruth": 2}, "/ground_truth/pose"),
    ({"/ground_truth/pose": 3000, "/camera/groundtruth": 2}, "/camera/groundtruth"),
    ({"/robot/pose": 3000}, None),
])
def test_the_truth_of_the_camera_or_with_the_most_poses(truths, expected):
    streams = [*realsense(), *(Stream(topic, POSE, count) for topic, count in truths.items())]
    assert choose_topics({s.topic: s for s in streams}).groundtruth == expected
