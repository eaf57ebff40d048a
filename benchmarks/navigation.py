"""Occupancy grid and obstacle clouds against the truth of rendered worlds.

    python benchmarks/navigation.py [--worlds room corridor dynamic] [--seeds 0 1 2] [--frames N]
                                    [--parts grid robot obstacles] [--cache DIR] [--pictures DIR]
                                    --out FILE.json

`grid`: every frame is tracked and mapped. The trajectory's alignment with the truth lays the grid
into the world, where each cell is compared with a slice of the geometry between the heights of the
scan. `robot`: the same in rooms, seen from a robot that drives a round. `obstacles`: the cloud of
every 25th frame, at its true pose, is compared with exact depth.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ace_slam_ros.core.runtime.library_threads import calm_library_threads

calm_library_threads()  # before numpy: as the command line and the nodes run

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from lib.drives import Drive, carried, driven  # noqa: E402
from lib.floor_plan import Comparison, FloorPlan  # noqa: E402
from lib.obstacle_truth import ObstacleTally  # noqa: E402
from lib.report import Report, parser, say  # noqa: E402
from lib.tracking_runs import rendered  # noqa: E402

from ace_slam_ros.core.config.navigation import GridConfig  # noqa: E402
from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.geometry.se3 import exp_se3  # noqa: E402
from ace_slam_ros.core.navigation.map_grid import MapGrid, Placed  # noqa: E402
from ace_slam_ros.core.navigation.obstacle_cloud import warm_up_obstacles  # noqa: E402
from ace_slam_ros.core.navigation.occupancy_grid import (  # noqa: E402
    FREE,
    OCCUPIED,
    UNKNOWN,
    GridPicture,
)
from ace_slam_ros.core.runtime.device import choose_device, set_threads  # noqa: E402
from ace_slam_ros.core.slam import Slam  # noqa: E402
from ace_slam_ros.core.warm_up import warm_up  # noqa: E402
from ace_slam_ros.evaluation.trajectory_error import absolute_trajectory_error  # noqa: E402
from ace_slam_ros.io.open_source import open_source  # noqa: E402
from ace_slam_ros.synth.worlds import RATE_HZ, make_world  # noqa: E402

PARTS = ("grid", "robot", "obstacles")
#: A cell is right when what it says is true within this distance.
WITHIN_M, LEAST_RIGHT = 0.10, 0.97
#: A person leaves at least so much where nothing stands.
GHOST_M2 = 0.05
#: The border of a table is within a cell of where the grid has it, not to the point.
MOST_FREE_ABOVE = 0.02
MOST_CORE, MOST_BYTES = 0.05, 100_000
#: Of obstacles: edges of things that are hidden in part may lack a point, no thing of 10 by 10 cm.
EACH_FRAME, LEAST_THERE, LARGEST_MISSED_M2, MOST_WRONG, MOST_MS = 25, 0.99, 0.01, 0.001, 15.0


class Stopwatch:
    """Adds up the CPU time of calls of this thread."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that is timed."""
        def timed(*args: Any) -> Any:
            started_s = time.thread_time()
            result = call(*args)
            self.seconds += time.thread_time() - started_s
            return result

        return timed


def measure(report: Report, drive: Drive, encoder: Any, pictures: Path | None) -> None:
    """Map a world and set its grid beside the truth."""
    title, config = drive.title, SlamConfig().with_values(drive.values)
    slam, watch = Slam(config, encoder), Stopwatch()
    scanner: Any = slam.tracker.scanner
    scanner.scan = watch.around(scanner.scan)
    updated: Callable[[], MapGrid] = watch.around(slam.mapper.updated_grid)
    way, count = [], 0
    for count, (frame, hints) in enumerate(drive.frames, 1):  # noqa: B007
        result = slam.process(frame, hints)
        if result.has_map_pose and result.T_map_cam is not None:
            way.append(result.T_map_cam[:3, 3])
        if count % RATE_HZ == 0:
            updated()
    keyframes = slam.mapper.placed_keyframes
    grid = updated()
    scratch = MapGrid(config.grid)
    scratch.show(keyframes)
    picture, again = grid.picture(), scratch.picture()
    alignment = absolute_trajectory_error(slam.mapper.keyframe_trajectory(), drive.truth)
    if picture is None or again is None:
        report.missing(f"{title}: a grid: {scanner.problem or grid.problem}")
        report.at_least(f"{title}: cells right within 10 cm", None, LEAST_RIGHT)
        return
    plan = FloorPlan.of(make_world(drive.world, drive.seed).scene, config.grid.lowest_m,
                        config.grid.highest_m)
    T_world_floor = alignment.T_groundtruth_map @ grid.T_map_floor
    compared = plan.compare(picture, in_plane(T_world_floor))
    feet = np.array(way) @ np.linalg.inv(grid.T_map_floor)[:2, :3].T + np.linalg.inv(
        grid.T_map_floor)[:2, 3]
    below = below_the_way(picture, plan, feet, in_plane(T_world_floor))
    scans = [k.scan for k, _ in keyframes.values() if k.scan is not None]
    bytes_of = sum(2 * len(s.ranges_mm_K) + 48 for s in scans) / len(keyframes) * 100
    report.figures[title] = {
        "cells": int((picture.cells_HW != UNKNOWN).sum()), "keyframes": len(keyframes),
        "scans": len(scans), "ate_cm": 100 * alignment.rmse_m,
        "right": compared.right(WITHIN_M), "free_right": compared.right(WITHIN_M, FREE),
        "occupied_right": compared.right(WITHIN_M, OCCUPIED), "largest_ghost_m2": ghost(compared),
        **below,
        "core": watch.seconds / (count / RATE_HZ), "bytes_per_100_keyframes": bytes_of,
        "tilt_deg": grid.tilt_deg, "left_out": grid.problem,
        "map_revision": slam.tracker.map_revision}
    say(f"{title}: {report.figures[title]}")
    report.at_least(f"{title}: cells right within 10 cm", compared.right(WITHIN_M), LEAST_RIGHT)
    report.at_most(f"{title}: largest ghost, m2", ghost(compared), GHOST_M2)
    report.at_most(f"{title}: occupied where the camera passed and nothing stands",
                   below["open_occupied"], 0.0)
    report.at_most(f"{title}: free where the camera was above something",
                   below["things_free"], MOST_FREE_ABOVE)
    if drive.values:  # a low camera on wheels proves that it is
        report.at_least(f"{title}: free where the robot drove", below["open_free"], 1.0)
    report.at_least(f"{title}: the same as from scratch", float(same(picture, again)), 1.0)
    report.at_least(f"{title}: the same after a loop", float(same_after_a_loop(
        grid, keyframes, config.grid)), 1.0)
    report.at_most(f"{title}: share of a core", watch.seconds / (count / RATE_HZ), MOST_CORE)
    report.at_most(f"{title}: bytes per 100 keyframes", bytes_of, MOST_BYTES)
    if pictures is not None:
        draw(pictures / f"grid_{title}.png", picture, compared, feet)


def same_after_a_loop(grid: MapGrid, placed: Placed, config: GridConfig) -> bool:
    """Tell whether a grid is that from scratch when its keyframes were moved as by a closed loop.

    The later the farther: by 30 cm and 3 degrees at last.
    """
    bent: Placed = {
        number: (keyframe, exp_se3(share * np.array([0.3, -0.1, 0.02, 0, 0, 0.05])) @ T_map_cam)
        for share, (number, (keyframe, T_map_cam)) in zip(
            np.linspace(0.0, 1.0, len(placed)), placed.items(), strict=True)}
    grid.show(bent)
    scratch = MapGrid(config)
    scratch.show(bent)
    return same(grid.picture(), scratch.picture())


def same(one: GridPicture | None, other: GridPicture | None) -> bool:
    """Tell whether two grids are the same to the bit."""
    return (one is not None and other is not None and one.corner_2 == other.corner_2
            and np.array_equal(one.cells_HW, other.cells_HW))


def measure_obstacles(
    report: Report, name: str, seed: int, frames: int | None, cache: Path
) -> None:
    """Set the obstacle clouds of a world beside its exact depth."""
    title, world, tally = f"{name}_{seed}", make_world(name, seed), ObstacleTally()
    path = world.path(frames)
    walkers = world.walkers(path)
    for number, frame in enumerate(open_source(rendered(name, seed, frames, cache).path)):
        if number % EACH_FRAME == 0:
            T_world_cam, time_s = path.pose(number / RATE_HZ), number / RATE_HZ
            view = world.view(T_world_cam, world.placed(walkers, time_s))
            tally.add(frame, view.depth_m, T_world_cam)
    figures = report.figures[f"{title}: obstacles"] = tally.figures()
    say(f"{title}: obstacles: {figures}")
    report.at_most(f"{title}: obstacles within 5 cm of the floor", figures["floor_points"], 0)
    report.at_least(f"{title}: of what stands there, share with a point", figures["there"],
                    LEAST_THERE)
    report.at_most(f"{title}: largest thing without one, m2", figures["largest_missed_m2"],
                   LARGEST_MISSED_M2)
    report.at_most(f"{title}: share of points where nothing stands", figures["wrong"], MOST_WRONG)
    report.at_most(f"{title}: ms of a cloud, p95", figures["p95_ms"], MOST_MS)


def in_plane(T_44: np.ndarray) -> np.ndarray:
    """Return the pose (3, 3) in the plane of an upright pose (4, 4)."""
    yaw = np.arctan2(T_44[1, 0], T_44[0, 0])
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, T_44[0, 3]], [s, c, T_44[1, 3]], [0, 0, 1]])


def below_the_way(
    picture: GridPicture, plan: FloorPlan, feet_N2: np.ndarray, T_world_floor_2: np.ndarray
) -> dict[str, float]:
    """Return what the grid says below the camera's way, where nothing stands and where it does.

    A camera that is carried high passes above tables: `above_things` is that share of its way.
    """
    cells = driven_over(picture, feet_N2)
    in_world_N2 = feet_N2 @ T_world_floor_2[:2, :2].T + T_world_floor_2[:2, 2]
    things = plan.clearance_m(in_world_N2) == 0.0

    def share(values: np.ndarray, value: int) -> float:
        return float(np.mean(values == value)) if len(values) else 0.0

    return {"above_things": float(things.mean()), "open_free": share(cells[~things], FREE),
            "open_occupied": share(cells[~things], OCCUPIED),
            "things_free": share(cells[things], FREE)}


def driven_over(picture: GridPicture, feet_N2: np.ndarray) -> np.ndarray:
    """Return the values of the cells below the camera's way."""
    cell = np.floor((feet_N2 - picture.corner_2) / picture.resolution_m).astype(int)
    height, width = picture.cells_HW.shape
    inside = ((cell >= 0) & (cell < (width, height))).all(axis=1)
    found = np.full(len(cell), UNKNOWN)
    found[inside] = picture.cells_HW[cell[inside, 1], cell[inside, 0]]
    return found


def ghost(compared: Comparison) -> float:
    """Return the area of the largest thing that stands nowhere, m2."""
    wrong = (compared.cells_HW == OCCUPIED) & (compared.error_m_HW > WITHIN_M)
    _, _, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=8)
    return float(max(stats[1:, cv2.CC_STAT_AREA], default=0)) * 0.05**2


def draw(path: Path, picture: GridPicture, compared: Comparison, feet_N2: np.ndarray) -> None:
    """Draw a grid four times its size: wrong cells red, the way of the camera blue."""
    image = np.full((*picture.cells_HW.shape, 3), 150, np.uint8)
    image[picture.cells_HW == FREE] = 255
    image[picture.cells_HW == OCCUPIED] = 0
    image[compared.error_m_HW > WITHIN_M] = (0, 0, 255)
    image = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    for x, y in (feet_N2[::5] - picture.corner_2) / picture.resolution_m * 4:
        cv2.circle(image, (int(x), int(y)), 1, (200, 80, 0), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[::-1])


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when a bar is missed."""
    made = parser("Occupancy grid and obstacle clouds against the truth.")
    made.add_argument("--worlds", nargs="+", default=["room", "corridor", "dynamic"])
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    made.add_argument("--frames", type=int, metavar="N", help="of each world; default: its own")
    made.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    made.add_argument("--cache", type=Path, metavar="DIR", help="where rendered worlds are kept")
    made.add_argument("--pictures", type=Path, metavar="DIR", help="draw the grids there")
    args = made.parse_args(argv)
    set_threads(1)
    config = SlamConfig()
    encoder = load_encoder(config.encoder, choose_device(config.device))
    warm_up(config, encoder)
    warm_up_obstacles()
    report = Report("navigation")
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder)
        for name, seed in itertools.product(args.worlds, args.seeds):
            if "grid" in args.parts:
                measure(report, carried(name, seed, args.frames, cache), encoder, args.pictures)
            if "robot" in args.parts and name == "room":
                measure(report, driven(name, seed, args.frames), encoder, args.pictures)
            if "obstacles" in args.parts:
                measure_obstacles(report, name, seed, args.frames, cache)
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
