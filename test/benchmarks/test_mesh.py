"""How the mesh benchmark judges: points all over a mesh, distances to surfaces, what is seen."""

import importlib.util

import mesh
import numpy as np
import pytest
from helpers.keyframes import keyframe

from ace_slam_ros.apps.map_tools.mesh import Mesh

#: A square of 1 m at z = 2 of two triangles, and a speck.
VERTICES = np.array([[0, 0, 2], [1, 0, 2], [1, 1, 2], [0, 1, 2], [5, 5, 2], [5.001, 5, 2],
                     [5, 5.001, 2]], float)
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]], np.int32)


def test_samples_lie_all_over_the_triangles_by_their_area():
    points = mesh.samples(Mesh(VERTICES, TRIANGLES))
    assert np.allclose(points[:, 2], 2.0) and points[:, :2].min() >= 0.0
    on_square = points[points[:, 0] <= 1.0]
    assert len(on_square) > 0.999 * len(points)
    cells = np.histogram2d(on_square[:, 0], on_square[:, 1], 4, [[0, 1], [0, 1]])[0]
    assert cells.min() > 0.9 * len(points) / 16


@pytest.mark.skipif(importlib.util.find_spec("open3d") is None, reason="Open3D is not installed")
def test_distances_and_what_is_seen():
    found = mesh.Triangles(VERTICES, TRIANGLES)
    assert found.distance_m(np.array([[0.5, 0.5, 2.3], [2.0, 0.5, 2.0]])) == pytest.approx(
        [0.3, 1.0], abs=1e-6)
    seen = found.seen_from([keyframe(0, np.eye(4), np.zeros((1, 3)))])
    assert len(seen) > 200 and np.allclose(seen[:, 2], 2.0)
    assert seen[:, :2].min() >= 0.0 and seen[:, :2].max() <= 1.0
