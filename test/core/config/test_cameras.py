"""Noise and range of a camera: who tells the family, and what counts when several do."""

import pytest

from ace_slam_ros.core.config.cameras import FAMILIES, NONE, families_named, for_camera
from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.errors import ConfigError


@pytest.mark.parametrize(("names", "family"), [
    (["Intel RealSense D435"], "d435"),
    (["Intel RealSense D435I"], "d435"),
    (["/d415/color/image_raw"], "d435"),
    (["RealSense D455F"], "d455"),
    (["Intel RealSense D405"], "d405"),
    (["Intel RealSense L515"], "l515"),
    (["/rgb/image_raw", "rgb_camera_link", "/depth_to_rgb/image_raw"], "azure_kinect"),
    (["/azure_kinect/rgb/image_raw"], "azure_kinect"),
    (["/oak/rgb/image_raw", "oak_rgb_camera_optical_frame", "/oak/stereo/image_raw"], "oak_d"),
    (["/camera/rgb/image_color", "openni_rgb_optical_frame"], "kinect_v1"),
    (["/kinect/rgb/image_raw"], "kinect_v1"),
    (["/kinect2/qhd/image_color"], None),
    (["/camera/camera/color/image_raw", "camera_color_optical_frame"], None),  # any RealSense
    (["/soak/image", "/cloak_d4355"], None),
    ([], None),
])
def test_names_of_drivers_tell_the_family(names, family):
    assert list(families_named(names)) == ([] if family is None else [family])
    config, choice = for_camera(SlamConfig(), names)
    assert choice.preset == (family or NONE)
    if family is None:
        assert config == SlamConfig() and "--preset" in choice.reason
    else:
        assert config.sensor.noise_quadratic == FAMILIES[family].noise_quadratic
        assert config.sensor.max_depth_m == FAMILIES[family].max_depth_m
        assert names[0] in str(choice) or any(f"'{name}' tells it" in str(choice)
                                              for name in names)


def test_two_cameras_are_not_chosen_between():
    config, choice = for_camera(SlamConfig(), ["/d435/color", "/l515/depth"])
    assert config == SlamConfig() and choice.preset == NONE
    assert "'/d435/color' a d435, '/l515/depth' a l515: name one" in choice.reason


def test_the_parameter_wins_over_names_and_what_users_set_wins_over_both():
    chosen = SlamConfig().with_values({"sensor.preset": "l515", "sensor.max_depth_m": 4.0})
    config, choice = for_camera(chosen, ["Intel RealSense D435"])
    assert config.sensor.noise_base_m == FAMILIES["l515"].noise_base_m
    assert config.sensor.max_depth_m == 4.0
    assert choice.summary() == {
        "preset": "l515", "reason": "sensor.preset", "kept": {"sensor.max_depth_m": 4.0},
        "values": {name: value for name, value in FAMILIES["l515"].values.items()
                   if name != "sensor.max_depth_m"}}
    assert "sensor.max_depth_m=4.0 kept" in str(choice)
    for_none = SlamConfig().with_values({"sensor.preset": "none"})
    assert for_camera(for_none, ["Intel RealSense D435"])[0] == for_none


def test_a_range_that_leaves_nothing_is_refused():
    config = SlamConfig().with_values({"sensor.preset": "d405", "sensor.min_depth_m": 1.5})
    with pytest.raises(ConfigError, match="leave no depth: set both"):
        for_camera(config, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_a_valid_configuration(family):
    config, _ = for_camera(SlamConfig().with_values({"sensor.preset": family}), [])
    assert 0.0 < config.sensor.depth_sigma_m(1.0) < 0.01
    assert config.sensor.min_depth_m < 0.6 < config.sensor.max_depth_m
