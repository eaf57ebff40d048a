"""Relocalization: recall against roll, viewpoint, scale and light; wrong answers; calibration.

    python benchmarks/relocalization.py [--data DIR] [--head TYPE] [--seeds N] [--quick] --out FILE

Maps are made of keyframes at their true poses; queries come from other paths through the same
rendered worlds, from the rest of recorded sequences, and from places that the map does not know.
Every query is asked without any prior. Latencies are also given as multiples of a yardstick (ORB
on frames of a room). Beside the JSON a picture is written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ace_slam_ros.core.runtime.library_threads import calm_library_threads

calm_library_threads()  # before numpy: as the command line and the nodes run

import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from lib.known_poses import PosedFrame, recorded_frames, rendered_frames  # noqa: E402
from lib.relocalization_answers import (  # noqa: E402
    Answer,
    ask,
    by_value,
    calibration,
    make_relocalizer,
    recall,
    summary,
)
from lib.relocalization_queries import (  # noqa: E402
    as_they_are,
    from_the_side,
    pixels_only,
    scaled,
    turned,
    unknown,
)
from lib.report import Report, parser, say, sequences  # noqa: E402
from lib.yardstick import yardstick_of  # noqa: E402

from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.localization.relocalizer import Relocalizer  # noqa: E402
from ace_slam_ros.core.runtime.device import set_threads  # noqa: E402
from ace_slam_ros.core.warm_up import warm_up  # noqa: E402
from ace_slam_ros.synth.worlds import make_world  # noqa: E402

ROLLS = tuple(range(0, 360, 15))
SCALES = (0.4, 0.6, 1.6, 2.5)
SIDES = ((20.0, 45.0), (45.0, 70.0))
#: Share of a path, one in so many, that the map for queries from other sides is made of: a whole
#: path sees everything from all sides.
NARROW = 8


class Benchmark:
    """Maps and queries; answers by case.

    Args:
        seeds: of the worlds, from 1.
        quick: a few of everything, for a first look.
        head: type of the maps' head; None is the default one.
    """

    def __init__(self, seeds: int, quick: bool, head: str | None = None) -> None:
        self._config = SlamConfig() if head is None else SlamConfig().with_values(
            {"head.type": head})
        self._encoder = load_encoder(self._config.encoder, torch.device("cpu"))
        warm_up(self._config, self._encoder)
        self._few = 4 if quick else 1
        self._seeds = range(1, seeds + 1)
        self.answers: list[Answer] = []

    def recorded(self, name: str, path: Path) -> None:
        """The first 60 % of a recording is the map, the rest is asked."""
        say(f"asking in {name}")
        views = list(recorded_frames(path, 2))
        cut = int(0.6 * len(views))
        relocalizer, later = self._map(views[:cut:4]), views[cut::2 * self._few]
        self._ask(relocalizer, turned(f"{name} rolled", later[::6], ROLLS))
        self._ask(relocalizer, as_they_are(f"{name} upright", later))
        self._ask(relocalizer, pixels_only(f"{name} pixels", later))

    def rooms(self) -> None:
        """Rooms: the first half of a path is the map; other poses, light and places are asked.

        Other rooms share walls of the same bricks and paper with the mapped one: they look alike.
        """
        for seed in self._seeds:
            say(f"asking in room {seed}")
            world = make_world("room", seed)
            views = list(rendered_frames(world, 3))
            mapped, between = views[:len(views) // 2:2], views[1:len(views) // 2:2 * self._few]
            relocalizer, count = self._map(mapped), 40 // self._few
            self._ask(relocalizer, as_they_are("room upright", between))
            self._ask(relocalizer, pixels_only("room pixels", between))
            self._ask(relocalizer, turned("room rolled", between[::10], ROLLS))
            narrow = views[:len(views) // NARROW:2]
            from_narrow = self._map(narrow)
            for low, high in SIDES:
                self._ask(from_narrow, from_the_side(
                    f"room {low:.0f} to {high:.0f} deg", world, narrow, (low, high), count, seed))
            self._ask(relocalizer, scaled(
                "room scaled", world, mapped, SCALES, count // 4, seed))
            evening = make_world("lighting", seed)
            self._ask(relocalizer, as_they_are("room in the evening", [
                PosedFrame(item.frame, item.T_world_cam_44)
                for item in (evening.picture(view.T_map_cam, n)
                             for n, view in enumerate(between[::3]))]))
            self._ask(relocalizer, unknown("look-alike room", list(rendered_frames(
                make_world("room", seed + 10), 8 * self._few))))
            self._ask(relocalizer, unknown("unknown place", list(rendered_frames(
                make_world("corridor", seed), 8 * self._few))))

    def corridors(self) -> None:
        """Corridors: another one looks alike."""
        for seed in self._seeds:
            say(f"asking in corridor {seed}")
            world = make_world("corridor", seed)
            step = max(1, world.default_frames // 240)
            views = list(rendered_frames(world, step))
            relocalizer, between = self._map(views[::2]), views[1::2 * self._few]
            self._ask(relocalizer, as_they_are("corridor upright", between))
            self._ask(relocalizer, pixels_only("corridor pixels", between))
            other = make_world("corridor", seed + 10)
            self._ask(relocalizer, unknown(
                "look-alike corridor", list(rendered_frames(other, 8 * self._few))))

    def _map(self, mapped: list[PosedFrame]) -> Relocalizer:
        return make_relocalizer(self._config, self._encoder, mapped)

    def _ask(self, relocalizer: Relocalizer, queries: Any) -> None:
        answers = ask(relocalizer, queries)
        self.answers += answers
        if answers:
            share = recall(answers)
            say(f"  {answers[0].case}: {len(answers)} queries, recall "
                f"{'-' if share is None else f'{share:.3f}'}, "
                f"{sum(a.wrong for a in answers)} wrong, median "
                f"{np.median([a.latency_ms for a in answers]):.0f} ms")

    def of(self, case: str) -> list[Answer]:
        """Return the answers of the cases with names that end so."""
        return [a for a in self.answers if a.case.endswith(case)]


def yardstick_ms() -> float:
    """Median time of ORB on frames of a room."""
    return yardstick_of(item.frame for item in make_world("room", 1).frames(30)).wall_ms


def check(report: Report, asked: Benchmark, unit_ms: float) -> None:
    """Hold the figures against what must be."""
    for name in sorted({a.case for a in asked.of("rolled")}):
        by_roll = by_value(asked.of(name))
        upright = by_roll[0.0]["recall"]
        worst = min(figures["recall"] for figures in by_roll.values())
        report.at_least(
            f"{name}: least recall over that upright", worst / max(upright, 1e-9), 0.95)
        report.at_most(f"{name}: wrong", sum(f["wrong"] for f in by_roll.values()), 0)
    for (low, high), bar in zip(SIDES, (0.8, 0.4), strict=True):
        name = f"room {low:.0f} to {high:.0f} deg"
        report.at_least(f"{name}: recall", recall(asked.of(name)), bar)
    for case, bar in (("xyz pixels", 0.95), ("room pixels", 0.95), ("corridor pixels", 0.9)):
        if asked.of(case):
            report.at_least(f"{case}: recall", recall(asked.of(case)), bar)
    report.at_most("unknown places: wrong", sum(a.wrong for a in asked.of("unknown place")), 0)
    for name in ("look-alike corridor", "look-alike room"):
        alike = asked.of(name)
        report.at_most(f"{name}: wrong, share", sum(a.wrong for a in alike) / len(alike), 0.005)
        report.figures.setdefault("wrong_above_probability", {})[name] = {
            str(least): sum(a.wrong and a.probability > least for a in alike) / len(alike)
            for least in (0.5, 0.9, 0.95)}
    report.at_most("expected calibration error", calibration(asked.answers)[0], 0.05)
    upright = [a.latency_ms for a in asked.of(" upright")]
    report.at_most("upright, median, yardsticks", float(np.median(upright)) / unit_ms, 10.0)
    everything = [a.latency_ms for a in asked.of("unknown place")]
    report.at_most("all views tried, median, yardsticks", float(np.median(everything)) / unit_ms,
                   40.0)


def plot(asked: Benchmark, out: Path) -> None:
    """Draw recall against roll and viewpoint, and the calibration."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(14, 4))
    for name in sorted({a.case for a in asked.of("rolled")}):
        rolls = by_value(asked.of(name))
        left.plot(list(rolls), [100 * f["recall"] for f in rolls.values()], ".-", label=name)
    left.set(xlabel="roll of the camera, degrees", ylabel="within 10 cm and 5 deg, %",
             ylim=(0, 104), title="Rolled")
    left.legend(loc="lower right")
    sides = [a for a in asked.answers if a.case.endswith("deg")]
    edges = np.arange(20, 71, 10)
    shares = [recall([a for a in sides if low <= a.value < low + 10]) for low in edges[:-1]]
    middle.bar(edges[:-1] + 5, [100 * (s or 0.0) for s in shares], 8)
    middle.set(xlabel="angle from the nearest mapped view, degrees", ylim=(0, 104),
               title="From another side (room)")
    error, bins = calibration(asked.answers)
    right.plot([0, 1], [0, 1], ":", color="gray")
    right.plot([b["claimed"] for b in bins], [b["right"] for b in bins], "o-")
    for b in bins:
        right.annotate(str(b["queries"]), (b["claimed"], b["right"]), fontsize=7)
    right.set(xlabel="claimed probability", ylabel="share that is right",
              title=f"Calibration (error {error or 0.0:.3f})")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> int:
    """Ask everything; exit code 1 when a check fails."""
    arguments = parser(__doc__.split("\n")[0])
    arguments.add_argument("--seeds", type=int, default=3, help="worlds of each kind, 3")
    arguments.add_argument("--quick", action="store_true", help="a few of everything")
    arguments.add_argument("--head", help="type of the maps' head, the default one")
    args = arguments.parse_args()
    set_threads(1)
    report, before_ms = Report("relocalization"), yardstick_ms()
    asked = Benchmark(args.seeds, args.quick, args.head)
    recorded = sequences(args.data)
    for name, path in recorded.items():
        asked.recorded(name, path)
    if not recorded:
        report.missing("--data: recorded sequences were not asked")
    asked.rooms()
    asked.corridors()
    unit_ms = (before_ms + yardstick_ms()) / 2
    cases = sorted({a.case for a in asked.answers})
    error, bins = calibration(asked.answers)
    report.figures = {
        "yardstick_ms": unit_ms,
        "cases": {case: summary(asked.of(case)) for case in cases},
        "by_value": {case: by_value(asked.of(case)) for case in cases
                     if case.endswith(("rolled", "scaled"))},
        "calibration": {"error": error, "bins": bins}}
    check(report, asked, unit_ms)
    plot(asked, args.out.with_suffix(".png"))
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
