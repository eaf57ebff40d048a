"""Bad sequences: one line that names the fix, or a counted and logged skip; never a traceback."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.recordings import write_bag
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.errors import CalibrationError, DataError
from ace_slam_ros.io import encode_jpeg, encode_png, open_source, write_tum_folder
from ace_slam_ros.io.bags.file import CAMERA_INFO, IMAGE, TYPES
from ace_slam_ros.io.bags.topics import COLOR_TOPIC, DEPTH_TOPIC, INFO_TOPIC
from ace_slam_ros.io.bags.writer import BagWriter
from ace_slam_ros.io.convert import convert
from ace_slam_ros.io.tum import TumWriter

CAMERA = Camera(24, 16, 20.0, 21.0, 11.5, 7.5)
STAMPS = [1_305_031_102_000_000_000 + i * 33_333_333 for i in range(4)]


def make_frames(depth=1.5, camera=CAMERA):
    image = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    depth_m = np.full((16, 24), depth, np.float32)
    return [Frame(stamp, image, depth_m, camera) for stamp in STAMPS]


@pytest.fixture
def tum(tmp_path):
    write_tum_folder(tmp_path / "tum", make_frames(), None, CAMERA)
    return tmp_path / "tum"


@pytest.fixture
def bag(tmp_path):
    write_bag(tmp_path / "bag", make_frames(), None, CAMERA)
    return tmp_path / "bag"


def refused(path, match, error=DataError, **options):
    """Opening and reading `path` fails with one line that matches."""
    with pytest.raises(error, match=match) as caught:
        list(open_source(path, **options))
    assert "\n" not in str(caught.value)


def image_files(folder, kind):
    return sorted((folder / kind).iterdir())


def test_nothing_there(tmp_path):
    refused(tmp_path / "missing", "does not exist: give a TUM folder or a bag")
    refused(tmp_path / ("x" * 300), "cannot read")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "neither a TUM folder .* nor a bag")
    (tmp_path / "file.txt").write_text("hello")
    refused(tmp_path / "file.txt", "neither a TUM folder")


def test_tum_listings(tum):
    (tum / "rgb.txt").write_text("# nothing\n")
    refused(tum, "lists no image")
    (tum / "rgb.txt").write_text("12.5 rgb/a.png\nabc rgb/b.png\n")
    refused(tum, r"rgb.txt:2: expected 'stamp filename', got 'abc rgb/b.png'")
    for stamp in ("nan", "inf", "1e300", "9" * 25, "12.5"):
        (tum / "rgb.txt").write_text(f"{stamp}\n" if stamp == "12.5" else f"{stamp} a.png\n")
        refused(tum, "expected 'stamp filename'")
    (tum / "rgb.txt").write_bytes(b"\xff\xfe\x00")
    refused(tum, "cannot read")


def test_tum_without_depth_or_calibration(tum):
    (tum / "depth.txt").rename(tum / "other.txt")
    refused(tum, "depth.txt is missing")
    (tum / "depth.txt").write_text("5.0 depth/a.png\n")
    refused(tum, "none of 4 color and 1 depth stamps lie within 20 ms")
    (tum / "camera.yaml").unlink()
    refused(tum, "camera.yaml is missing: write .*fx: 525", CalibrationError)


def test_tum_with_bad_groundtruth(tum):
    (tum / "groundtruth.txt").write_text("1.0 0 0 0 0 0 0 0\n")
    refused(tum, "groundtruth.txt:1")
    (tum / "groundtruth.txt").write_text("inf 0 0 0 0 0 0 1\n")
    refused(tum, "groundtruth.txt:1")


def test_damaged_images_are_counted_and_logged_once(tum, caplog):
    color, depth = image_files(tum, "rgb"), image_files(tum, "depth")
    color[0].write_bytes(color[0].read_bytes()[:200])
    color[1].unlink()
    depth[2].write_bytes(depth[2].read_bytes()[:-15])
    source = open_source(tum)
    with caplog.at_level(logging.WARNING):
        assert [f.stamp_ns for f in source] == STAMPS[3:]
        assert [f.stamp_ns for f in source] == STAMPS[3:]
    assert len(source) == 4
    assert source.skips.counts == {"damaged color image": 2, "damaged depth image": 1}
    assert source.skips.total == 3
    assert len(caplog.records) == 2, "once per reason, not per frame or pass"
    assert "JPEG is truncated" in caplog.text and "PNG is truncated" in caplog.text
    with pytest.raises(DataError, match="JPEG is truncated"):
        source[0]
    served = list(open_source(tum, require_depth=False))
    assert [f.stamp_ns for f in served] == STAMPS[2:]
    assert served[0].depth_m is None and served[1].depth_m is not None


@pytest.mark.parametrize(("kind", "data", "match"), [
    ("rgb", b"", "damaged color image .*holds no bytes"),
    ("rgb", b"text", "neither JPEG nor PNG"),
    ("depth", encode_png(np.ones((16, 24), np.uint8)), "depth image has 8 bits"),
    ("depth", encode_png(np.ones((16, 24, 3), np.uint8)), r"3 channel\(s\): depth must be a 16"),
    ("depth", encode_png(np.zeros((16, 24), np.uint16)), "it is zero or NaN everywhere"),
    ("depth", encode_png(np.ones((8, 12), np.uint16)), "12x8 but the camera is 24x16.*register"),
    ("rgb", encode_jpeg(np.ones((8, 12, 3), np.uint8)), "12x8 but the camera is 24x16"),
])
def test_sequence_of_unusable_images_is_refused(tum, kind, data, match):
    for path in image_files(tum, kind):
        path.write_bytes(data)
    refused(tum, f"no usable image pair in .*: 4 skipped: 4 x .*{match}")
    if "NaN" not in match and "rgb" not in kind:
        with pytest.raises(DataError, match=match):
            convert(tum, tum.parent / "out")
        assert not (tum.parent / "out").exists()


def test_depth_that_measured_nothing_is_no_reason_to_stop(tum):
    """Before glass, or too near a wall, a tracker goes on by the image; it cannot begin so."""
    for number in (0, 2):
        image_files(tum, "depth")[number].write_bytes(encode_png(np.zeros((16, 24), np.uint16)))
    source = open_source(tum)
    for _ in range(2):
        frames = list(source)
        assert [f.stamp_ns for f in frames] == STAMPS[1:]
        assert [f.depth_m is None for f in frames] == [False, True, False]
    assert source.skips.counts == {"no usable depth": 1}


@pytest.mark.parametrize("depth", [0.0, np.nan, np.inf, -1.0])
def test_bag_of_missing_depth(tmp_path, depth):
    write_bag(tmp_path / "bag", make_frames(depth), None, CAMERA, depth_encoding="32FC1")
    refused(tmp_path / "bag", "4 skipped: 4 x no usable depth")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_empty_and_cut_bags(tmp_path, storage):
    with BagWriter(tmp_path / "empty", CAMERA, storage=storage):
        pass
    refused(tmp_path / "empty", "holds no messages")
    write_bag(tmp_path / "cut", make_frames(), None, CAMERA, storage=storage)
    file = next(p for p in (tmp_path / "cut").iterdir() if p.suffix in (".mcap", ".db3"))
    whole = file.read_bytes()
    for size in (0, 5, 60, len(whole) // 3, len(whole) - 10):
        file.write_bytes(whole[:size])
        if storage == "sqlite3" and size > len(whole) - 100:
            continue  # sqlite tolerates a few bytes missing after the last row
        refused(tmp_path / "cut", "ros2 bag reindex")
    file.unlink()
    refused(tmp_path / "cut", "missing")


def test_damaged_bags(bag):
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 5}")
    refused(bag, "metadata key is missing")
    (bag / "metadata.yaml").write_text("{[")
    refused(bag, "not a readable rosbag2")
    (bag / "metadata.yaml").unlink()
    (bag / "second.mcap").write_bytes(b"")
    refused(bag, "2 bag files but no metadata.yaml")


def rewrite(bag, out, edit):
    """Copy a bag; `edit(topic, message)` changes a message in place, or returns False to drop."""
    with Reader(bag) as reader, Writer(
        out, version=8, storage_plugin=StoragePlugin.SQLITE3
    ) as writer:
        made = {}
        for connection, time_ns, raw in reader.messages():
            message = TYPES.deserialize_cdr(raw, connection.msgtype)
            if edit(connection.topic, message) is False:
                continue
            if connection.topic not in made:
                made[connection.topic] = writer.add_connection(
                    connection.topic, connection.msgtype, typestore=TYPES)
            writer.write(
                made[connection.topic], time_ns,
                TYPES.serialize_cdr(message, connection.msgtype))
    return out


@pytest.mark.parametrize(("dropped", "match"), [
    (DEPTH_TOPIC, r"no depth image topic: .*align_depth.*topics found: /camera/color/camera_info"),
    (INFO_TOPIC, "no camera_info for /camera/color/image_raw: record /camera/color/camera_info"),
    (COLOR_TOPIC, r"no color image topic; topics found: .*\(Image 16UC1 24x16\)"),
])
def test_bags_without_a_topic(tmp_path, bag, dropped, match):
    refused(rewrite(bag, tmp_path / "other", lambda topic, _: topic != dropped), match)


def test_camera_info_of_zeros(tmp_path, bag):
    def clear(topic, message):
        if topic == INFO_TOPIC:
            message.k = np.zeros(9)

    refused(
        rewrite(bag, tmp_path / "other", clear), "camera_info holds no calibration",
        CalibrationError)


@pytest.mark.parametrize(("encoding", "match"), [
    ("mono8", "depth encoding 'mono8' is not supported: publish 16UC1"),
    ("64FC1", "64FC1"), ("32FC1", "truncated or its size fields are wrong"),
])
def test_bag_with_depth_of_another_encoding(tmp_path, bag, encoding, match):
    def rename(topic, message):
        if topic == DEPTH_TOPIC:
            message.encoding = encoding

    refused(rewrite(bag, tmp_path / "other", rename), f"4 x damaged depth image .*{match}")


def test_bag_whose_depth_is_smaller(tmp_path, bag):
    def shrink(topic, message):
        if topic == DEPTH_TOPIC:
            message.height = 8

    refused(rewrite(bag, tmp_path / "other", shrink), "24x8 but the camera is 24x16: register")


def test_bag_with_a_truncated_message(tmp_path, bag):
    out, first = tmp_path / "other", []
    with Reader(bag) as reader, Writer(
        out, version=8, storage_plugin=StoragePlugin.MCAP
    ) as writer:
        made = {}
        for connection, time_ns, raw in reader.messages():
            if connection.topic not in made:
                made[connection.topic] = writer.add_connection(
                    connection.topic, connection.msgtype, typestore=TYPES)
            if connection.topic == COLOR_TOPIC and not first:
                first.append(True)
                raw = raw[:100]
            writer.write(made[connection.topic], time_ns, raw)
    source = open_source(out)
    assert [f.stamp_ns for f in source] == STAMPS[1:]
    assert source.skips.counts == {"damaged color image": 1}


def test_types_that_only_look_like_a_camera(tmp_path):
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for topic, kind in (("/chatter", "std_msgs/msg/String"), ("/color/image", IMAGE),
                            ("/x/camera_info", CAMERA_INFO)):
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            if topic == "/chatter":
                message = TYPES.types[kind](data="hello")
                writer.write(connection, 5, TYPES.serialize_cdr(message, kind))
    refused(tmp_path / "bag", r"no color image topic; topics found: /chatter \(String\)")


def test_outputs_that_cannot_be_written(tmp_path, tum, bag):
    (tmp_path / "file").write_text("")
    for source in (tum, bag):
        with pytest.raises(DataError, match="exists already: remove it"):
            convert(source, tmp_path / "file")
        with pytest.raises(DataError, match="cannot write"):
            convert(source, tmp_path / "file" / "out")
        with pytest.raises(DataError, match="cannot write"):
            convert(source, tmp_path / ("x" * 300))
        with pytest.raises(DataError, match="cannot write"):
            convert(source, Path("/proc/out"))  # not even root may
    with pytest.raises(DataError, match="exists already"):
        write_tum_folder(tum, make_frames(), None, CAMERA)
    with pytest.raises(DataError, match="storage 'zip' is unknown: choose mcap or sqlite3"):
        convert(tum, tmp_path / "out", storage="zip")
    with pytest.raises(DataError, match="outside ROS time"):
        write_bag(tmp_path / "out", [Frame(
            2**62, make_frames()[0].image, None, CAMERA)], None, CAMERA)


@pytest.mark.parametrize("make", [TumWriter, BagWriter])
def test_interrupted_writing_leaves_nothing(tmp_path, make):
    folder = tmp_path / "place"
    frame = make_frames()[0]
    depth = np.full((16, 24), 1500, np.uint16 if make is TumWriter else np.float32)
    with pytest.raises(KeyboardInterrupt), make(folder / "out", CAMERA) as writer:
        writer.add(frame.stamp_ns, frame.image, depth)
        assert not (folder / "out").exists(), "nothing shows before it is complete"
        raise KeyboardInterrupt
    assert list(folder.iterdir()) == []


def test_bags_without_the_bag_library(bag):
    """TUM folders work without rosbags, and a bag names the package to install."""
    code = (
        "import sys; sys.modules['rosbags'] = None\n"
        "from pathlib import Path\n"
        "from ace_slam_ros.core.errors import DataError\n"
        "from ace_slam_ros.io import open_source\n"
        "try: open_source(Path(sys.argv[1]))\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bag)], capture_output=True, text=True, check=True)
    assert "pip install rosbags" in done.stdout
