"""The unit of a folder's depth: as told, as the numbers tell, or refused with the fix."""

import json
import logging

import numpy as np
import pytest
from helpers.sequences import CAMERA, steps

from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.errors import CalibrationError
from ace_slam_ros.io import open_source, write_tum_folder
from ace_slam_ros.io.datasets.depth_unit import guess_units_per_meter
from ace_slam_ros.io.source import ReadOptions

rng = np.random.default_rng(3)


@pytest.mark.parametrize(("low_m", "high_m", "units", "expected"), [
    (0.8, 3.4, 5000, 5000.0), (1.5, 8.0, 5000, 5000.0),
    (0.4, 3.4, 1000, 1000.0), (0.5, 1.8, 1000, 1000.0),
    (2.5, 5.0, 1000, "fit both"), (0.5, 1.2, 5000, "fit both"), (0.1, 0.3, 1000, "fit neither"),
    (9.0, 13.0, 5000, "fit neither"),
])
def test_what_the_numbers_tell(low_m, high_m, units, expected):
    values = np.rint(rng.uniform(low_m, high_m, 4000) * units).astype(np.uint16)
    found = guess_units_per_meter(values)
    assert expected in found if isinstance(expected, str) else found == expected


def test_millimeters_at_the_scale_of_tum_are_multiples_of_five():
    assert guess_units_per_meter(5 * rng.integers(500, 900, 4000).astype(np.uint16)) == 5000.0


def folder(path, depth_m, scale, said=""):
    image = np.zeros((16, 24, 3), np.uint8)
    frames = [Frame(s, image, depth_m.astype(np.float32), CAMERA) for s in steps(3)]
    write_tum_folder(path, frames, None, CAMERA, depth_scale=scale)
    file = path / "camera.yaml"
    lines = [line for line in file.read_text().splitlines() if "depth_scale" not in line]
    file.write_text("\n".join([*lines, said]))
    return path


def test_a_folder_in_millimeters_that_does_not_say_so(tmp_path, caplog):
    depth_m = rng.uniform(0.5, 2.0, (16, 24))
    with caplog.at_level(logging.WARNING):
        source = open_source(folder(tmp_path / "mm", depth_m, 1000.0))
    np.testing.assert_allclose(source[0].depth_m, depth_m, atol=6e-4)
    assert len(caplog.records) == 1 and "0.001 m; guessed: camera.yaml has no" in caplog.text
    said = json.loads(json.dumps(source.summary()))
    assert said["depth_unit"]["guessed"] and said["depth_unit"]["m"] == 0.001
    assert "unit of depth" in said["assumptions"]


def test_a_unit_that_is_told_is_no_assumption(tmp_path, caplog):
    depth_m = rng.uniform(2.5, 5.0, (16, 24))
    path = folder(tmp_path / "told", depth_m, 1000.0, "depth_scale: 1000")
    said = open_source(path).summary()
    assert said["depth_unit"] == {"m": 0.001, "told_by": "camera.yaml", "guessed": False}
    assert not said["assumptions"]
    assert not caplog.records


def test_a_unit_that_cannot_be_told_is_refused_and_the_parameter_tells_it(tmp_path):
    depth_m = rng.uniform(2.5, 5.0, (16, 24))
    path = folder(tmp_path / "far", depth_m, 1000.0)
    with pytest.raises(CalibrationError, match="depth_scale: 1000.*sensor.depth_unit_m=0.001"):
        open_source(path)
    frame = open_source(path, options=ReadOptions(depth_unit_m=0.001))[0]
    np.testing.assert_allclose(frame.depth_m, depth_m, atol=6e-4)
