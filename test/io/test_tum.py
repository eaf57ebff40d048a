"""TUM folders survive writing and reading at any stamp."""

import numpy as np
from helpers.sequences import CAMERA, SECOND, assert_same_frames, make_frames, make_truth
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.data.trajectory import stamp_to_text
from ace_slam_ros.io import write_tum_folder
from ace_slam_ros.io.datasets.recording import read_listing
from ace_slam_ros.io.source import ReadOptions
from ace_slam_ros.io.tum import TumSource, TumWriter

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
    source = TumSource(out, options=ReadOptions(slop_s=0.0))
    assert_same_frames(source, frames)
    assert source.camera == CAMERA
    np.testing.assert_array_equal(source.groundtruth.stamps_ns, stamps)
    np.testing.assert_allclose(
        source.groundtruth.T_map_cam_N44, truth.T_map_cam_N44, atol=1e-6)


def test_frames_know_when_their_depth_was_taken(tmp_path):
    out = tmp_path / "sequence"
    stamps = [10**9 + n * 33_000_000 for n in range(4)]
    with TumWriter(out, CAMERA) as writer:
        for frame, late_ms in zip(make_frames(stamps), (-12, 5, 12, 12), strict=True):
            depth = np.asarray(1000 * frame.depth_m, np.uint16)
            writer.add(frame.stamp_ns, frame.image, depth, frame.stamp_ns + late_ms * 1_000_000)
    source = TumSource(out)
    assert [round(1e3 * frame.depth_late_s, 6) for frame in source] == [-12, 5, 12, 12]
    assert source.summary()["depth_late_ms"] == 8.5


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
