"""Sequences survive writing, reading and conversion; pairs are right; lenses are straightened."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from scipy.spatial.transform import Rotation

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.trajectory import Trajectory, stamp_to_text
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io import open_source, write_tum_folder
from ace_slam_ros.io.bag import TYPES, BagSource
from ace_slam_ros.io.bag_topics import (
    CAMERA_INFO,
    COLOR_TOPIC,
    COMPRESSED,
    DEPTH_TOPIC,
    IMAGE,
    POSE,
    choose_topics,
)
from ace_slam_ros.io.bag_writer import write_bag
from ace_slam_ros.io.convert import convert
from ace_slam_ros.io.pairs import associate, rectify
from ace_slam_ros.io.tum import TumSource, TumWriter, read_listing

CAMERA = Camera(24, 16, 20.0, 21.0, 11.5, 7.5)
LENS = Camera(24, 16, 20.0, 21.0, 11.5, 7.5, (0.05, -0.02, 0.001, 0.002, 0.0))
SECOND = 1_000_000_000


def make_frames(stamps_ns, camera=CAMERA, seed=0):
    rng = np.random.default_rng(seed)
    size = (camera.height, camera.width)
    for stamp in stamps_ns:
        depth = rng.integers(1500, 20000, size) * (rng.random(size) < 0.8)
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        yield Frame(int(stamp), image, (depth / 5000).astype(np.float32), camera)


def make_truth(stamps_ns):
    poses = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
    poses[:, 0, 3] = np.arange(len(stamps_ns)) * 0.1
    turns = Rotation.from_rotvec(np.outer(np.arange(len(stamps_ns)), [0.01, -0.02, 0.03]))
    poses[:, :3, :3] = turns.as_matrix()
    return Trajectory(np.array(stamps_ns, np.int64), poses)


def steps(count, start=1_305_031_102 * SECOND, period=33_333_333):
    return [start + i * period for i in range(count)]


def assert_same_frames(one, two, depth_quantum_m=0.0):
    one, two = list(one), list(two)
    assert [f.stamp_ns for f in one] == [f.stamp_ns for f in two]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_allclose(
            a.depth_m, b.depth_m, rtol=0, atol=0.5 * depth_quantum_m + 1e-6)


stamp_lists = st.lists(
    st.one_of(
        st.integers(0, 2**62), st.integers(0, 5),
        st.integers(1_305_031_102 * SECOND - 3, 1_305_031_102 * SECOND + 3),
    ), min_size=1, max_size=6, unique=True,
)


@given(stamp_lists)
@settings(max_examples=25, deadline=None)
def test_tum_folder_round_trip_at_any_stamp(tmp_path_factory, stamps):
    out = tmp_path_factory.mktemp("tum") / "sequence"
    stamps = sorted(stamps)
    truth = make_truth(stamps)
    frames = list(make_frames(stamps))
    assert write_tum_folder(out, iter(frames), truth, CAMERA, jpeg_quality=0) == len(stamps)
    source = TumSource(out, slop_ns=0)
    assert_same_frames(source, frames)
    assert source.camera == CAMERA
    np.testing.assert_array_equal(source.groundtruth.stamps_ns, stamps)
    np.testing.assert_allclose(
        source.groundtruth.T_map_cam_N44, truth.T_map_cam_N44, atol=1e-6)


texts = st.integers(0, 10**18).flatmap(
    lambda ns: st.sampled_from([stamp_to_text(ns), stamp_to_text(ns).rstrip("0")]).map(
        lambda text: (ns, text)))
noise = st.sampled_from(["", "   ", "# comment", "  # 12.5 rgb/x.png", "\t"])


@given(st.lists(st.tuples(texts, noise), max_size=20), st.randoms())
@settings(max_examples=50, deadline=None)
def test_listing_with_nasty_stamps(tmp_path_factory, rows, random):
    path = tmp_path_factory.mktemp("listing") / "rgb.txt"
    random.shuffle(rows)
    lines, expected = [], {}
    for number, ((stamp, text), extra) in enumerate(rows):
        lines += [extra, f"  {text} \t rgb/image {number}.png "]
        expected.setdefault(stamp, f"rgb/image {number}.png")
    path.write_text("\r\n".join(lines))
    stamps, names = read_listing(path)
    assert stamps.tolist() == sorted(expected)
    assert names == [expected[s] for s in sorted(expected)]


@given(
    st.lists(st.integers(0, 60), max_size=7, unique=True),
    st.lists(st.integers(0, 60), max_size=7, unique=True), st.integers(0, 12))
@settings(max_examples=80, deadline=None)
def test_association_is_greedy_by_gap(color, depth, slop):
    color, depth = np.array(sorted(color), np.int64), np.array(sorted(depth), np.int64)
    gaps = np.abs(color[:, None] - depth[None]).astype(float)
    expected = np.full(len(color), -1)
    while gaps.size and gaps.min() <= slop:  # brute force: the closest pair left, again and again
        i, j = np.unravel_index(np.argmin(gaps), gaps.shape)
        expected[i] = j
        gaps[i], gaps[:, j] = np.inf, np.inf
    np.testing.assert_array_equal(associate(color, depth, slop), expected)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize(("transport", "encoding", "exact"), [
    ("raw", "auto", True), ("raw", "16UC1", False), ("compressed", "auto", False),
    ("compressed", "32FC1", False),
])
def test_tum_to_bag_and_back(tmp_path, storage, transport, encoding, exact):
    stamps = steps(7)
    truth = make_truth([s - 7 for s in stamps])
    write_tum_folder(tmp_path / "a", make_frames(stamps, LENS), truth, LENS)
    to_bag = convert(
        tmp_path / "a", tmp_path / "b", storage=storage, transport=transport,
        depth_encoding=encoding)
    to_tum = convert(tmp_path / "b", tmp_path / "c")
    assert (to_bag.frames, to_tum.frames) == (7, 7)
    assert to_bag.depth_exact == exact
    assert (tmp_path / "b" / "metadata.yaml").is_file()
    assert open_source(tmp_path / "b").raw_camera == LENS
    assert open_source(tmp_path / "c").raw_camera == LENS
    # Millimeters, or the inverse-depth step at 4 m and then the 0.2 mm of the TUM file.
    is_metres = to_bag.depth_encoding == "32FC1"
    quantum_m = 0.0 if exact else 4.0**2 / 10100 + 2e-4 if is_metres else 1e-3
    for made in ("b", "c"):
        source = open_source(tmp_path / made)
        assert_same_frames(source, open_source(tmp_path / "a"), quantum_m)
        np.testing.assert_array_equal(source.groundtruth.stamps_ns, truth.stamps_ns)
        np.testing.assert_allclose(
            source.groundtruth.T_map_cam_N44, truth.T_map_cam_N44, atol=1e-6)
    if transport == "compressed":
        assert to_bag.color_passed_through and to_tum.color_passed_through
        for name in (tmp_path / "a" / "rgb").iterdir():
            assert (tmp_path / "c" / "rgb" / name.name).read_bytes() == name.read_bytes()


def test_conversion_keeps_separate_depth_stamps(tmp_path):
    stamps = steps(3)
    with TumWriter(tmp_path / "a", CAMERA) as writer:
        for frame in make_frames(stamps):
            depth = np.rint(frame.depth_m * 5000).astype(np.uint16)
            writer.add(frame.stamp_ns, frame.image, depth, frame.stamp_ns + 9_000_001)
    convert(tmp_path / "a", tmp_path / "b")
    convert(tmp_path / "b", tmp_path / "c")
    assert read_listing(tmp_path / "c" / "depth.txt")[0].tolist() == [
        s + 9_000_001 for s in stamps]
    assert_same_frames(open_source(tmp_path / "a"), open_source(tmp_path / "c"))


def test_conversion_limits(tmp_path):
    stamps = steps(10, period=SECOND // 10)
    write_tum_folder(tmp_path / "a", make_frames(stamps), make_truth(stamps), CAMERA)
    report = convert(tmp_path / "a", tmp_path / "b", start_s=0.2, stop_s=0.8, limit=4)
    assert report.frames == 4
    assert open_source(tmp_path / "b").stamps_ns.tolist() == stamps[2:6]
    with pytest.raises(DataError, match="lasts 0.9 s"):
        convert(tmp_path / "a", tmp_path / "c", start_s=3.0)
    assert not (tmp_path / "c").exists()


def rewrite(bag: Path, out: Path, edit, storage=StoragePlugin.MCAP):
    """Copy a bag; `edit(topic, time_ns, raw)` returns the (time_ns, raw) to write instead."""
    with Reader(bag) as reader, Writer(out, version=8, storage_plugin=storage) as writer:
        made = {}
        for connection, time_ns, raw in reader.messages():
            for new_ns, data in edit(connection.topic, time_ns, raw):
                if connection.topic not in made:
                    made[connection.topic] = writer.add_connection(
                        connection.topic, connection.msgtype, typestore=TYPES)
                writer.write(made[connection.topic], new_ns, data)
    return out


@pytest.fixture
def small_bag(tmp_path):
    frames = list(make_frames(steps(6)))
    write_bag(tmp_path / "bag", frames, make_truth(steps(6)), CAMERA, depth_encoding="32FC1")
    return tmp_path / "bag", frames


def test_bag_iterates_twice_and_at_random(small_bag):
    path, frames = small_bag
    source = open_source(path)
    assert_same_frames(source, frames)
    assert_same_frames(source, frames)
    for i in (5, 0, -2, 3):
        assert_same_frames([source[i]], [frames[i]])
    with pytest.raises(IndexError):
        source[6]
    file, = path.glob("*.mcap")
    assert_same_frames(open_source(file), frames)
    (path / "metadata.yaml").unlink()
    assert_same_frames(open_source(path), frames)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_bag_with_late_depth_loops_and_reversed_recording(tmp_path, small_bag, storage):
    path, frames = small_bag
    late = rewrite(path, tmp_path / "late", lambda topic, t, raw: [
        (t + (80_000_000 if topic == DEPTH_TOPIC else 0), raw)], storage)
    assert_same_frames(open_source(late), frames)
    assert_same_frames([open_source(late)[4]], [frames[4]])
    looped = rewrite(path, tmp_path / "looped", lambda topic, t, raw: [
        (t, raw), (t + SECOND, raw)], storage)
    assert_same_frames(open_source(looped), frames)
    last = frames[-1].stamp_ns
    backwards = rewrite(
        path, tmp_path / "backwards", lambda topic, t, raw: [(2 * last - t, raw)], storage)
    assert_same_frames(open_source(backwards), frames)


def test_bag_without_stamps_uses_the_time_of_recording(tmp_path, small_bag):
    path, frames = small_bag
    bare = rewrite(path, tmp_path / "bare", lambda topic, t, raw: [
        (t, bytes(raw[:4]) + bytes(8) + bytes(raw[12:]))])
    assert_same_frames(open_source(bare), frames)


def test_rectified_topics_use_the_projection_matrix(tmp_path, small_bag):
    """An image_rect topic is straight already; its camera_info still holds the lens."""
    path, frames = small_bag
    write_bag(tmp_path / "lens", frames, None, LENS, depth_encoding="32FC1")
    names = {COLOR_TOPIC: "/camera/color/image_rect_color"}
    with Reader(tmp_path / "lens") as reader, Writer(
        tmp_path / "rect", version=8, storage_plugin=StoragePlugin.MCAP
    ) as writer:
        made = {c.topic: writer.add_connection(
            names.get(c.topic, c.topic), c.msgtype, typestore=TYPES) for c in reader.connections}
        for connection, time_ns, raw in reader.messages():
            if connection.msgtype == CAMERA_INFO:
                info = TYPES.deserialize_cdr(raw, CAMERA_INFO)
                info.p = np.array([30.0, 0, 10, 0, 0, 31, 8, 0, 0, 0, 1, 0])
                raw = TYPES.serialize_cdr(info, CAMERA_INFO)
            writer.write(made[connection.topic], time_ns, raw)
    source = open_source(tmp_path / "rect")
    assert source.raw_camera == Camera(24, 16, 30.0, 31.0, 10.0, 8.0)
    np.testing.assert_array_equal(source[1].image, frames[1].image)


def test_depth_beyond_the_slop_is_no_pair(tmp_path, small_bag):
    path, frames = small_bag
    with pytest.raises(DataError, match="within 20 ms"):
        open_source(rewrite(path, tmp_path / "shifted", lambda topic, t, raw: [
            (t, raw[:4] + TYPES.serialize_cdr(TYPES.types["builtin_interfaces/msg/Time"](
                sec=1, nanosec=0), "builtin_interfaces/msg/Time")[4:] + raw[12:])
        ] if topic == DEPTH_TOPIC else [(t, raw)]))
    assert len(BagSource(path, slop_ns=0)) == len(frames)


def test_sequences_without_depth_serve_color(tmp_path, small_bag):
    path, frames = small_bag
    blind = rewrite(path, tmp_path / "blind", lambda topic, t, raw: [
        (t, raw)] if topic != DEPTH_TOPIC else [])
    source = open_source(blind, require_depth=False)
    assert [f.depth_m for f in source] == [None] * 6
    np.testing.assert_array_equal(source[2].image, frames[2].image)
    write_tum_folder(tmp_path / "tum", frames, None, CAMERA)
    (tmp_path / "tum" / "depth.txt").unlink()
    assert [f.depth_m for f in open_source(tmp_path / "tum", require_depth=False)] == [None] * 6


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


FISHEYE = Camera(80, 60, 60.0, 61.0, 39.0, 30.5, (0.1, 0.02, -0.01, 0.003), "equidistant")
BARREL = Camera(80, 60, 60.0, 61.0, 39.0, 30.5, (-0.2, 0.05, 0.003, -0.002, 0.01))


@pytest.mark.parametrize("camera", [FISHEYE, BARREL])
def test_rectification_against_undistorted_points(camera):
    """Depth carries the number of its source pixel, whose undistorted place is then compared."""
    rows, columns = np.mgrid[0:60, 0:80]
    number = (rows * 80 + columns + 1).astype(np.float32)
    image = np.stack([columns * 3, rows * 4, columns + rows], 2).astype(np.uint8)
    straight, moved = rectify(camera, image, number)
    d = np.array(camera.distortion)
    valid = moved > 0
    assert valid.mean() > 0.7
    source = moved[valid].astype(int) - 1
    pixels = np.stack([source % 80, source // 80], 1).astype(np.float64)[:, None]
    undistort = (
        cv2.fisheye.undistortPoints if camera is FISHEYE else cv2.undistortPoints)
    error = undistort(pixels, camera.K_33, d, None, None, camera.K_33)[:, 0] - np.stack(
        [columns[valid], rows[valid]], 1)
    assert np.abs(error).max() < 0.85, "farther than the nearest pixel, stretched by the lens"
    assert np.abs(error.mean(0)).max() < 0.03, "rounded, not cut off"
    # Color: the forward lens model says where each straight pixel comes from.
    rays = np.stack([
        (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones((60, 80))
    ], 2).reshape(-1, 1, 3)
    zero = np.zeros(3)
    project = cv2.fisheye.projectPoints if camera is FISHEYE else cv2.projectPoints
    exact = project(rays, zero, zero, camera.K_33, d)[0].reshape(60, 80, 2)
    inside = ((exact >= 0) & (exact <= [79, 59])).all(2)
    expected = np.stack([exact[..., 0] * 3, exact[..., 1] * 4], 2)
    assert np.abs(straight[..., :2] - expected)[inside].max() < 1.0


def test_rectified_frames_come_from_sources(tmp_path):
    frames = list(make_frames(steps(2), LENS))
    write_tum_folder(tmp_path / "a", frames, None, LENS, jpeg_quality=0)
    source = open_source(tmp_path / "a")
    assert source.camera == LENS.without_distortion()
    for got, frame in zip(source, frames, strict=True):
        image, depth_m = rectify(LENS, frame.image, frame.depth_m)
        assert got.camera == source.camera
        assert not np.array_equal(image, frame.image)
        np.testing.assert_array_equal(got.image, image)
        np.testing.assert_allclose(got.depth_m, depth_m, atol=1e-6)
    raw = next(source.raw_frames())
    np.testing.assert_array_equal(raw.image(), frames[0].image)
