"""The benchmark of parts of the robot draws what it says, over the bottom of pictures."""

import numpy as np
import pytest
from robot_parts import FAR_M, NEAR_M, PARTS, Part, with_part

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5)
RNG = np.random.default_rng(0)
FRAMES = [Frame(i, RNG.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8),
                np.full((HEIGHT, WIDTH), 2.0, np.float32), CAMERA) for i in range(2)]


@pytest.mark.parametrize("part", [*PARTS, Part("texture", 0.5, "none")], ids=str)
def test_a_part_keeps_its_pixels_and_leaves_the_rest(part):
    rows = round(part.share * HEIGHT)
    one, other = with_part(FRAMES, part)
    assert np.array_equal(one.image[:-rows], FRAMES[0].image[:-rows])
    assert (one.depth_m[:-rows] == 2.0).all() and (FRAMES[0].depth_m == 2.0).all()
    same = np.abs(one.image[-rows:].astype(int) - other.image[-rows:])
    assert np.median(same) <= 4 and not np.array_equal(one.image[-rows:], FRAMES[0].image[-rows:])
    below = one.depth_m[-rows:]
    if part.depth == "its own":
        assert below[0, 0] == pytest.approx(FAR_M) and below[-1, 0] == pytest.approx(NEAR_M)
    else:
        assert (below == (0.0 if part.depth == "none" else 2.0)).all()
