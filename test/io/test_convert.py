"""Sequences survive conversion between folders and bags."""

import numpy as np
import pytest
from helpers.sequences import (
    CAMERA,
    LENS,
    SECOND,
    assert_same_frames,
    make_frames,
    make_truth,
    steps,
)

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io import open_source, write_tum_folder
from ace_slam_ros.io.convert import convert
from ace_slam_ros.io.datasets.recording import read_listing
from ace_slam_ros.io.tum import TumWriter


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
    with pytest.raises(DataError, match="leave out --storage"):
        convert(tmp_path / "b", tmp_path / "c", storage="mcap")
