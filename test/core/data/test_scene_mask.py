"""A mask image takes the robot out of frames, or says what is wrong with it."""

import cv2
import numpy as np
import pytest

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.scene_mask import SceneMask
from ace_slam_ros.core.errors import ConfigError, DataError

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)


def frame():
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    return Frame(5, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), depth, CAMERA)


def drawn(path, width=WIDTH, height=HEIGHT, scene=255):
    image = np.full((height, width), scene, np.uint8)
    image[-height // 4:] = 0
    cv2.imwrite(str(path), image)
    return str(path)


def test_what_is_black_is_not_seen(tmp_path):
    seen = SceneMask(drawn(tmp_path / "mask.png")).of(frame())
    assert (seen.depth_m[:36] == 2.0).all() and not seen.depth_m[36:].any()
    pixels = np.array([[10.0, 34.0], [10.0, 36.0]], np.float32)
    assert seen.shows(pixels).tolist() == [True, False]
    assert seen.half.shows(pixels / 2).tolist() == [True, False]
    assert frame().shows(pixels).all() and frame().depth_m.all()


def test_masks_of_frame_and_user_add_up(tmp_path):
    left = np.full((HEIGHT, WIDTH), 255, np.uint8)
    left[:, :8] = 0
    both = SceneMask(drawn(tmp_path / "mask.png")).of(frame().without(left))
    assert both.mask[10, 4] == 0 and both.mask[40, 20] == 0 and both.mask[10, 20] > 0


def test_a_mask_of_another_resolution_of_the_camera_fits_one_of_another_shape_does_not(tmp_path):
    large = SceneMask(drawn(tmp_path / "large.png", 2 * WIDTH, 2 * HEIGHT)).of(frame())
    assert not large.depth_m[36:].any() and large.depth_m[:36].all()
    with pytest.raises(DataError, match="80x48 but images are 64x48"):
        SceneMask(drawn(tmp_path / "wide.png", 80)).of(frame())


def test_no_mask_changes_nothing():
    whole = frame()
    assert SceneMask("").of(whole) is whole


@pytest.mark.parametrize("write", [None, lambda p: p.write_text("no image"), lambda p: p.mkdir()])
def test_what_is_no_image_is_refused(tmp_path, write):
    path = tmp_path / "mask.png"
    if write is not None:
        write(path)
    with pytest.raises(ConfigError, match=r"sensor\.mask=.*PNG of the camera's"):
        SceneMask(str(path))


def test_a_mask_that_leaves_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="black everywhere"):
        SceneMask(drawn(tmp_path / "mask.png", scene=0))
