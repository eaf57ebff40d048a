"""Bags as people have them: ROS 1, without metadata, split, packed by zstd."""

import shutil

import numpy as np
import pytest
from helpers.recordings import write_bag
from helpers.sequences import CAMERA, assert_same_frames, make_frames, make_truth, steps
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.rosbag2.reader import zstd
from rosbags.typesys import Stores, get_typestore

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io import open_source
from ace_slam_ros.io.bags.file import TYPES
from ace_slam_ros.io.bags.layout import is_bag
from ace_slam_ros.io.bags.opening import open_bag

FRAMES = list(make_frames(steps(6)))
ROS1 = get_typestore(Stores.ROS1_NOETIC)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "bag"
    write_bag(path, FRAMES, make_truth(steps(6)), CAMERA, depth_encoding="32FC1")
    return path


def copy(bag, out, keep=lambda number: True, **options):
    """Copy the messages of a bag whose numbers are kept; options as of rosbags' writer."""
    writer = Writer(out, version=8, storage_plugin=options.get("plugin", StoragePlugin.MCAP))
    if mode := options.get("mode"):
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with Reader(bag) as reader, writer:
        made = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=TYPES)
                for c in reader.connections}
        for number, (connection, time_ns, raw) in enumerate(reader.messages()):
            if keep(number):
                writer.write(made[connection.topic], time_ns, raw)
    return out


def data_file(folder):
    file, = (f for f in folder.iterdir() if f.name != "metadata.yaml")
    return file


def test_a_ros1_bag_is_the_same_recording(bag, tmp_path):
    with Reader(bag) as reader, Writer1(tmp_path / "one.bag") as writer:
        made = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=ROS1)
                for c in reader.connections}
        tf = writer.add_connection(
            "/tf", "tf/msg/tfMessage", msgdef="geometry_msgs/TransformStamped[] transforms",
            md5sum="94810edda583a504dfda3829e70d7eec")
        for connection, time_ns, raw in reader.messages():
            writer.write(made[connection.topic], time_ns, TYPES.cdr_to_ros1(
                raw, connection.msgtype))
        writer.write(tf, FRAMES[0].stamp_ns, bytes(4))
    for path in (tmp_path / "one.bag", tmp_path):  # the file, or the folder it lies in
        source = open_source(path)
        assert_same_frames(source, FRAMES)
        assert_same_frames([source[4]], [FRAMES[4]])
        assert source.camera == CAMERA
        np.testing.assert_array_equal(source.groundtruth.stamps_ns, steps(6))
        assert source.types["/tf"] == "tf2_msgs/msg/TFMessage"
    with open_bag(tmp_path / "one.bag") as opened:
        assert len(list(opened.messages(["/tf"]))) == 1
    (tmp_path / "cut.bag").write_bytes((tmp_path / "one.bag").read_bytes()[:3000])
    with pytest.raises(DataError, match="cut.bag is not a readable ROS 1 bag .*rosbag reindex"):
        open_source(tmp_path / "cut.bag")


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("mode", [None, CompressionMode.MESSAGE, CompressionMode.FILE])
def test_bags_with_and_without_metadata(bag, tmp_path, plugin, mode):
    if plugin is StoragePlugin.MCAP and mode is CompressionMode.MESSAGE:
        mode = CompressionMode.STORAGE
    copy(bag, tmp_path / "copy", plugin=plugin, mode=mode)
    assert_same_frames(open_source(tmp_path / "copy"), FRAMES)
    (tmp_path / "copy" / "metadata.yaml").unlink()
    assert_same_frames(open_source(tmp_path / "copy"), FRAMES)
    assert_same_frames(open_source(data_file(tmp_path / "copy")), FRAMES)


@pytest.mark.parametrize("name", ["named.bag", "named.zstd"])
def test_a_folder_may_be_named_like_a_file(bag, tmp_path, name):
    """`ros2 bag record -o named.bag` makes a folder of ROS 2."""
    shutil.copytree(bag, tmp_path / name)
    assert_same_frames(open_source(tmp_path / name), FRAMES)
    assert not is_bag(tmp_path), "a folder of bags is none itself"
    (tmp_path / name / "metadata.yaml").write_text("damaged")
    with pytest.raises(DataError, match="not a readable rosbag2"), open_bag(tmp_path / name):
        pass


def test_a_split_bag_without_metadata_is_one_recording(bag, tmp_path):
    (tmp_path / "split").mkdir()
    for part in range(12):  # 10 must come after 9, not after 1
        made = copy(bag, tmp_path / f"part{part}", keep=lambda n, p=part: n // 2 == p)
        shutil.copy(data_file(made), tmp_path / "split" / f"day_{part}.mcap")
    assert_same_frames(open_source(tmp_path / "split"), FRAMES)
    packed = tmp_path / "split" / "day_11.mcap.zstd"
    packed.write_bytes(zstd.compress((tmp_path / "split" / "day_11.mcap").read_bytes()))
    (tmp_path / "split" / "day_11.mcap").unlink()
    assert_same_frames(open_source(tmp_path / "split"), FRAMES)
    (tmp_path / "split" / "day_11.mcap.zstd").rename(tmp_path / "split" / "other_1.mcap.zstd")
    with pytest.raises(DataError, match="holds 12 bag files but no metadata.yaml: give one of"):
        open_source(tmp_path / "split")
