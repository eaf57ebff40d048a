"""Lists as people write them, and ground truth of which only some is good."""

import codecs

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.errors import DataError
from ace_slam_ros.io.datasets.groundtruth import read_groundtruth
from ace_slam_ros.io.datasets.recording import read_listing
from ace_slam_ros.io.datasets.text_lists import read_list

FIRST_NS = 1_305_031_102_175_304_321
STAMPS = [FIRST_NS + i * 33_333_333 for i in range(3)]


def seconds(ns):
    return f"{ns // 10**9}.{ns % 10**9:09d}"


def written(stamp=seconds, between=" ", end="\n", head="", name="rgb/{}.png"):
    rows = [f"{stamp(ns)}{between}{name.format(i)}" for i, ns in enumerate(STAMPS)]
    return head + end.join(rows) + end


@pytest.mark.parametrize(("data", "unit_ns"), [
    (written(), 1), (written(between=","), 1), (written(between="\t"), 1),
    (written(between=" ; "), 1), (written(end="\r\n"), 1), (written(end="\r"), 1),
    (written(head="timestamp,filename\n", between=","), 1),
    (written(head="# timestamp filename\n\n"), 1), (written(head="\n  % matlab\n"), 1),
    (written(stamp=str), 1), (written(stamp=lambda ns: str(ns // 1000)), 1000),
    (written(stamp=lambda ns: str(ns // 10**6)), 10**6),
    (written(head="#timestamp [ns],filename\n", stamp=str, between=","), 1),
    (written(name='"rgb/{}.png"', between=", "), 1), (written(name="rgb\\{}.png"), 1),
    (written(name="rgb/{}.png,depth/a.png", between=","), 1),
])
@pytest.mark.parametrize("mark", [None, "utf-8-sig", "utf-16"])
def test_listings_as_people_write_them(tmp_path, data, unit_ns, mark):
    (tmp_path / "rgb.txt").write_bytes(data.encode(mark or "utf-8"))
    stamps, names = read_listing(tmp_path / "rgb.txt")
    assert names == [f"rgb/{i}.png" for i in range(3)]
    assert stamps.tolist() == [ns // unit_ns * unit_ns for ns in STAMPS]


@pytest.mark.parametrize(("stamps", "expected_s"), [
    (("0", "33333333", "66666666"), (0, 0.033333333, 0.066666666)),
    (("0", "33333", "66666"), (0, 0.033333, 0.066666)),
    (("0", "1", "2"), (0, 1, 2)), (("0.0", "0.033", "1e-1"), (0, 0.033, 0.1)),
])
def test_stamps_since_the_start(tmp_path, stamps, expected_s):
    (tmp_path / "rgb.txt").write_text("".join(f"{s} {s}.png\n" for s in stamps))
    assert read_listing(tmp_path / "rgb.txt")[0] == pytest.approx(
        [round(s * 1e9) for s in expected_s])


@pytest.mark.parametrize(
    "text", ["12.5 a.png\nabc b.png\n", "12.5\n", "rgb/a.png\n", "nan a.png\n"])
def test_rows_that_mean_nothing_are_named(tmp_path, text):
    (tmp_path / "rgb.txt").write_text(text)
    with pytest.raises(DataError, match=r"rgb.txt:\d: expected 'stamp filename'"):
        read_listing(tmp_path / "rgb.txt")


@given(st.lists(st.integers(0, 2 * 10**18), min_size=1, max_size=8, unique=True),
       st.sampled_from([" ", "\t", ",", ";", " , ", "   "]), st.sampled_from(["\n", "\r\n"]),
       st.sampled_from(["", "# a comment\n", "stamp, file\n", "\ufeff"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_stamps_in_any_writing(tmp_path_factory, stamps, between, end, head, trailing):
    path = tmp_path_factory.mktemp("lists") / "rgb.txt"
    rows = [f"{seconds(ns)}{between}a {i}.png{' ' if trailing else ''}"
            for i, ns in enumerate(stamps)]
    path.write_bytes((head + end.join(rows)).encode())
    found, names = read_listing(path)
    assert found.tolist() == sorted(stamps)
    assert names == [f"a {stamps.index(ns)}.png" for ns in sorted(stamps)]


@given(st.binary(max_size=200), st.sampled_from([b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE]))
@settings(max_examples=100, deadline=None)
def test_rubbish_is_read_or_refused_never_more(tmp_path_factory, data, mark):
    path = tmp_path_factory.mktemp("lists") / "rgb.txt"
    path.write_bytes(mark + data)
    try:
        read_list(path)
        read_listing(path)
        read_groundtruth(path)
    except DataError as error:
        assert str(path) in str(error)


GOOD = ["1.0 1 0 0 0 0 0 1", "1.1 2 0 0 0 0 0 1", "1.2 3 0 0 0 0 0 2"]


@pytest.mark.parametrize(("rows", "dropped"), [
    (GOOD, {}), (GOOD[::-1], {}), ([row.replace(" ", ",") for row in GOOD], {}),
    (["timestamp tx ty tz qx qy qz qw", *GOOD], {}),
    ([*GOOD, "1.3 nan 0 0 0 0 0 1", "1.4 0 0 0 nan nan nan nan"], {"not finite": 2}),
    ([*GOOD, "1.3 0 0 0 0 0 0 0"], {"quaternion of zeros": 1}),
    ([*GOOD, "1.1 9 9 9 0 0 0 1"], {"repeated stamp": 1}),
    (["1.3 lost", *GOOD, "x 1 2 3 4 5 6 7"], {"not eight numbers": 2}),
    (["# t, p_x [m], p_y, p_z, q_w [], q_x [], q_y [], q_z []",
      *(f"{row[:9]} 1 0 0 0" for row in GOOD)], {}),
])
def test_of_ground_truth_what_is_good_is_used_and_the_rest_counted(tmp_path, rows, dropped):
    (tmp_path / "groundtruth.txt").write_text("\n".join(rows))
    found = read_groundtruth(tmp_path / "groundtruth.txt")
    assert found.dropped == dropped
    assert found.trajectory.stamps_ns.tolist() == [10**9, 1_100_000_000, 1_200_000_000]
    assert found.trajectory.T_map_cam_N44[:, 0, 3].tolist() == [1, 2, 3]
    assert np.allclose(found.trajectory.T_map_cam_N44[:, :3, :3], np.eye(3))
