"""Meshes of mapped rooms against the true surfaces: ours, and what else Open3D offers.

    python benchmarks/mesh.py [--world room] [--seeds 0 1 2] [--frames N] [--cache DIR] --out FILE

Needs Open3D (`pip install '.[mesh]'`). Every frame is mapped; the alignment of the keyframes with
the truth lays the mesh into the world. `off`: distance of points of the mesh from the nearest true
surface. `covered`: share of what the keyframes looked at, nearer than 4 m, that has mesh within
5 cm; textureless surfaces leave no keyframe points, so that no method reaches all of it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ace_slam_ros.core.runtime.library_threads import calm_library_threads

calm_library_threads()  # before numpy: as the command line and the nodes run

import numpy as np  # noqa: E402
from lib.report import Report, parser, say  # noqa: E402
from lib.tracking_runs import rendered  # noqa: E402

from ace_slam_ros.apps.map_tools.mesh import Mesh, import_open3d, mesh_of  # noqa: E402
from ace_slam_ros.apps.map_tools.surface import Voxels, fitted, fuse  # noqa: E402
from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.data.keyframe import Keyframe  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.geometry.se3 import transform_points  # noqa: E402
from ace_slam_ros.core.runtime.device import choose_device, set_threads  # noqa: E402
from ace_slam_ros.core.slam import Slam  # noqa: E402
from ace_slam_ros.evaluation.trajectory_error import absolute_trajectory_error  # noqa: E402
from ace_slam_ros.io.open_source import open_source  # noqa: E402
from ace_slam_ros.synth.rendering.scene import Scene  # noqa: E402
from ace_slam_ros.synth.worlds import make_world  # noqa: E402

VOXEL_M, WITHIN_M, SEEN_M = 0.02, 0.05, 4.0
#: Of the mesh that is shipped, in every room.
MOST_MEDIAN_M, MOST_P95_M, MOST_OFF, LEAST_COVERED = 0.015, 0.05, 0.03, 0.6
_SAMPLES = 60_000
SHIPPED = "poisson"


class Triangles:
    """Distances to triangles, and rays onto them."""

    def __init__(self, vertices_N3: np.ndarray, triangles_K3: np.ndarray) -> None:
        self._scene = import_open3d().t.geometry.RaycastingScene()
        self._scene.add_triangles(vertices_N3.astype(np.float32), triangles_K3.astype(np.uint32))

    @staticmethod
    def of(scene: Scene) -> Triangles:
        """Cut the convex surfaces of a world into triangles."""
        corners, triangles, count = [], [], 0
        for s in scene.surfaces:
            outline = s.origin_3 + s.outline_K2[:, :1] * s.u_3 + s.outline_K2[:, 1:] * s.v_3
            corners.append(outline)
            triangles += [(count, count + i, count + i + 1) for i in range(1, len(outline) - 1)]
            count += len(outline)
        return Triangles(np.concatenate(corners), np.array(triangles))

    def distance_m(self, points_N3: np.ndarray) -> np.ndarray:
        """Return how far points are from the nearest triangle."""
        return self._scene.compute_distance(points_N3.astype(np.float32)).numpy()

    def seen_from(self, keyframes: list[Keyframe]) -> np.ndarray:
        """Return points (n, 3) that the keyframes look at, one in 5 cm."""
        found = []
        for keyframe in keyframes:
            camera, T_world_cam = keyframe.camera, keyframe.T_map_cam
            u, v = np.meshgrid(np.linspace(8, camera.width - 8, 48),
                               np.linspace(8, camera.height - 8, 36))
            pixels = np.stack([u.ravel(), v.ravel()], axis=1)
            ways = camera.unproject(pixels, np.ones(len(pixels))) @ T_world_cam[:3, :3].T
            start = np.broadcast_to(T_world_cam[:3, 3], ways.shape)
            rays = np.concatenate([start, ways], axis=1).astype(np.float32)
            depth = self._scene.cast_rays(rays)["t_hit"].numpy()
            seen = (depth > 0.4) & (depth < SEEN_M)
            found.append(start[seen] + ways[seen] * depth[seen, None])
        points = np.concatenate(found)
        _, first = np.unique(np.floor(points / WITHIN_M).astype(int), axis=0, return_index=True)
        return points[first]


def mapped(path: Path, encoder: Any) -> list[Keyframe]:
    """Map a sequence; return its keyframes, placed in the world."""
    source, slam = open_source(path), Slam(SlamConfig(), encoder)
    for frame in source:
        slam.process(frame)
    assert source.groundtruth is not None
    T_world_map = absolute_trajectory_error(
        slam.mapper.keyframe_trajectory(), source.groundtruth).T_groundtruth_map
    return [replace(keyframe, T_map_cam=T_world_map @ T_map_cam)
            for keyframe, T_map_cam in slam.mapper.placed_keyframes.values()]


def ball_pivoting(voxels: Voxels) -> Mesh:
    """Roll balls over the points."""
    open3d = import_open3d()
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(voxels.points_N3))
    cloud.normals = open3d.utility.Vector3dVector(voxels.normals_N3)
    made = open3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(
        cloud, open3d.utility.DoubleVector([0.03, 0.06, 0.12]))
    return Mesh(np.array(made.vertices), np.array(made.triangles))


def samples(mesh: Mesh) -> np.ndarray:
    """Return points (n, 3) all over a mesh."""
    rng = np.random.default_rng(0)
    corners = mesh.vertices_N3[mesh.triangles_K3]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(area), _SAMPLES, p=area / area.sum())
    r, s = np.sqrt(rng.random((_SAMPLES, 1))), rng.random((_SAMPLES, 1))
    return (1 - r) * a[chosen] + r * (1 - s) * b[chosen] + r * s * c[chosen]


def measure(report: Report, title: str, scene: Scene, keyframes: list[Keyframe]) -> None:
    """Set the meshes of a room beside the truth."""
    truth = Triangles.of(scene)
    seen = truth.seen_from(keyframes)
    off = truth.distance_m(np.concatenate(
        [transform_points(k.T_map_cam, k.points_cam_N3.astype(float)) for k in keyframes]))
    say(f"{title}: keyframe points off by {1e3 * np.median(off):.1f} mm in the median, p95 "
        f"{1e3 * np.percentile(off, 95):.1f} mm")
    voxels = fitted(fuse(keyframes, VOXEL_M))
    makers = {SHIPPED: lambda: mesh_of(voxels, VOXEL_M),
              "poisson, reach 5 cm": lambda: mesh_of(voxels, VOXEL_M, 0.05),
              "poisson, reach 15 cm": lambda: mesh_of(voxels, VOXEL_M, 0.15),
              "poisson, cells 8 cm": lambda: mesh_of(voxels, 2 * VOXEL_M),
              "ball pivoting": lambda: ball_pivoting(voxels)}
    for name, make in makers.items():
        started_s = time.perf_counter()
        mesh = make()
        took_s = time.perf_counter() - started_s
        off = truth.distance_m(samples(mesh))
        covered = Triangles(mesh.vertices_N3, mesh.triangles_K3).distance_m(seen) <= WITHIN_M
        figures = {"median_m": float(np.median(off)), "p95_m": float(np.percentile(off, 95)),
                   "off_5cm": float(np.mean(off > WITHIN_M)), "covered": float(covered.mean()),
                   "triangles": len(mesh.triangles_K3), "seconds": took_s}
        report.figures[f"{title}: {name}"] = figures
        say(f"{title}: {name}: median {1e3 * figures['median_m']:.1f} mm, p95 "
            f"{1e3 * figures['p95_m']:.1f} mm, beyond 5 cm {100 * figures['off_5cm']:.2f} %, "
            f"covered {100 * figures['covered']:.1f} %, {figures['triangles']} triangles, "
            f"{took_s:.1f} s")
    ours = report.figures[f"{title}: {SHIPPED}"]
    report.at_most(f"{title}: median distance, m", ours["median_m"], MOST_MEDIAN_M)
    report.at_most(f"{title}: p95 of it, m", ours["p95_m"], MOST_P95_M)
    report.at_most(f"{title}: beyond 5 cm", ours["off_5cm"], MOST_OFF)
    report.at_least(f"{title}: covered within 5 cm", ours["covered"], LEAST_COVERED)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a bar is missed."""
    made = parser("Meshes of mapped rooms against the true surfaces.")
    made.add_argument("--world", default="room")
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    made.add_argument("--frames", type=int, metavar="N", help="of each world; default: its own")
    made.add_argument("--cache", type=Path, metavar="DIR", help="where rendered worlds are kept")
    args = made.parse_args(argv)
    import_open3d()
    set_threads(1)
    config = SlamConfig()
    encoder = load_encoder(config.encoder, choose_device(config.device))
    report = Report("mesh")
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            path = rendered(args.world, seed, args.frames, args.cache or Path(folder)).path
            measure(report, f"{args.world}_{seed}", make_world(args.world, seed).scene,
                    mapped(path, encoder))
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
