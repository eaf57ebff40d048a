"""Every layout on a small made folder: known by its files; right camera, scale and truth."""

import json

import numpy as np
import pytest
from helpers import datasets as made

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.errors import CalibrationError, DataError
from ace_slam_ros.io import open_source
from ace_slam_ros.io.convert import convert
from ace_slam_ros.io.datasets.layouts import LAYOUTS, layout_of
from ace_slam_ros.io.datasets.numbered_layouts import _SEVEN_T_COLOR_DEPTH
from ace_slam_ros.ros.playback.playlist import open_playlist

#: name of the layout -> (folder, its writer, camera of the frames, poses that are good)
CASES = {
    "TUM RGB-D benchmark": ("rgbd_dataset_freiburg2_desk", made.tum_like,
                            Camera(640, 480, 520.908620, 521.007327, 325.141442, 249.701764), 3),
    "Bonn RGB-D Dynamic": ("rgbd_bonn_balloon", made.tum_like, Camera(
        640, 480, 542.822841, 542.576870, 315.593520, 237.756098), 3),
    "ETH3D SLAM": ("cables_1", made.eth3d, Camera(64, 48, 72.6, 72.5, 35.6, 18.6), 3),
    "ICL-NUIM": ("living_room_traj0_frei_png", made.icl_nuim,
                 Camera(640, 480, 481.20, 480.00, 319.50, 239.50), 3),
    "OpenLORIS-Scene": ("cafe1-1", made.openloris, Camera(64, 48, 61.0, 62.0, 32.0, 24.0), 3),
    "7-Scenes": ("seq-01", lambda path: made.seven_scenes(path, _SEVEN_T_COLOR_DEPTH),
                 Camera(640, 480, 525.0, 525.0, 319.5, 239.5), 3),
    "12-Scenes": ("kitchen", made.twelve_scenes,
                  Camera(130, 97, 117.0, 116.0, 64.9, 48.4).scaled(64 / 130), 2),
    "ScanNet": ("scene0000_00", made.scannet,
                Camera(130, 97, 117.0, 117.0, 64.9, 48.4).scaled(64 / 130), 2),
    "Replica (NICE-SLAM)": ("room0", made.replica, Camera(60, 34, 30.0, 30.0, 29.5, 16.5), 3),
    "Redwood": ("livingroom1", made.redwood, Camera(640, 480, 525.0, 525.0, 319.5, 239.5), 3),
}
layouts = pytest.mark.parametrize("name", CASES)


@pytest.fixture
def folder(tmp_path, name):
    below, write, _, _ = CASES[name]
    (tmp_path / below).mkdir()
    return write(tmp_path / below)


def test_every_layout_of_the_table_is_tried():
    assert {layout.name for layout in LAYOUTS} == CASES.keys()


@layouts
def test_a_data_set_is_known_by_its_files_and_read_right(folder, name):
    assert layout_of(folder).name == name
    source = open_source(folder)
    _, _, camera, good = CASES[name]
    assert source.camera == camera and source.summary()["layout"] == name
    frames = list(source)
    assert [int(f.image[15, 30, 0]) // 40 for f in frames] == list(range(made.COUNT))
    h, w = frames[0].depth_m.shape
    assert (h, w) == (camera.height, camera.width)
    assert frames[0].depth_m[2 * h // 5, 2 * w // 5] == pytest.approx(made.NEAR_M, abs=0.02)
    assert frames[0].depth_m[3 * h // 4, 3 * w // 4] == pytest.approx(made.FAR_M, abs=0.03)
    if not source.raw_camera.is_distorted and name != "7-Scenes":  # its depth sees more
        assert frames[0].depth_m[0, w // 2] == 0.0
    truth = source.groundtruth
    assert len(truth) == good and sum(source.groundtruth_dropped.values()) == made.COUNT - good
    found, valid = truth.at(source.stamps_ns[:good], 1)
    assert valid.all()
    np.testing.assert_allclose(found, made.POSES[:good], atol=1e-5)


@layouts
def test_a_data_set_can_be_played(folder, name):
    items = list(open_playlist(folder, "compressed"))
    assert len(items) == 3 * made.COUNT


def test_a_data_set_with_depth_of_another_camera_is_converted_registered(tmp_path):
    (tmp_path / "kitchen").mkdir()
    source = open_source(made.twelve_scenes(tmp_path / "kitchen"))
    convert(tmp_path / "kitchen", tmp_path / "bag")
    bag = open_source(tmp_path / "bag")
    assert bag.camera == source.camera
    np.testing.assert_allclose(bag[0].depth_m, source[0].depth_m, atol=6e-4)


def test_a_scene_of_several_sequences_asks_for_one(tmp_path):
    for name in ("seq-01", "seq-02"):
        made.seven_scenes(tmp_path / "chess" / name, np.eye(4))
    with pytest.raises(DataError, match="several sequences: give one of seq-01, seq-02"):
        open_source(tmp_path / "chess")


def test_a_camera_yaml_makes_a_tum_folder_of_a_data_set(tmp_path):
    path = made.tum_like(tmp_path / "freiburg1_mine")
    (path / "camera.yaml").write_text(
        "{width: 640, height: 480, fx: 1, fy: 1, cx: 1, cy: 1, depth_scale: 5000}")
    assert open_source(path).camera.fx == 1.0


def test_a_folder_of_none_of_them_says_which_there_are(tmp_path):
    with pytest.raises(DataError, match=r"nor one of Bonn.*7-Scenes.*docs/datasets.md"):
        open_source(tmp_path)


@pytest.mark.parametrize(("name", "file", "text", "fix"), [
    ("ETH3D SLAM", "calibration.txt", "72 72\n", "expected 'fx fy cx cy'"),
    ("12-Scenes", "info.txt", "m_depthShift = 1000\n", "m_colorWidth' is missing or wrong"),
    ("Replica (NICE-SLAM)", "cam_params.json", json.dumps({}), "w h fx fy cx cy scale"),
    ("OpenLORIS-Scene", "sensors.yaml", "%YAML:1.0\nother: 1\n", "no intrinsics .* of d400_color"),
    ("ScanNet", "intrinsic/intrinsic_color.txt", "1 2 3\n", "a matrix of 4x4 numbers"),
])
def test_a_damaged_calibration_is_named(folder, file, text, fix):
    (folder / file).write_text(text)
    with pytest.raises(CalibrationError, match=fix):
        open_source(folder)
