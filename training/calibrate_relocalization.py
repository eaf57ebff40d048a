"""Fits the model of `core/localization/probability.py`: how likely a relocalized pose is right.

    python training/calibrate_relocalization.py [--data FOLDER]

Maps and queries are those of the relocalization benchmark, of other seeds: rooms and corridors
seen again, rolled, from the side and in other light, and places the map does not know; with
--data, the first 60 % of recorded sequences as maps, the rest and other sequences as queries.
Prints the weights to be written there, and the calibration on queries that were held out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks")]

from ace_slam_ros.core.runtime.library_threads import calm_library_threads  # noqa: E402

calm_library_threads()  # before numpy: as the command line and the nodes run

from collections.abc import Iterator  # noqa: E402
from dataclasses import replace  # noqa: E402
from itertools import chain  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from lib.known_poses import PosedFrame, recorded_frames, rendered_frames  # noqa: E402
from lib.relocalization_answers import (  # noqa: E402
    calibration_error,
    is_right,
    make_head,
)
from lib.relocalization_queries import (  # noqa: E402
    Query,
    as_they_are,
    from_the_side,
    pixels_only,
    turned,
    unknown,
)
from lib.report import sequences  # noqa: E402

from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.geometry.arrays import Float64Array  # noqa: E402
from ace_slam_ros.core.heads.factory import load_head  # noqa: E402
from ace_slam_ros.core.localization.probability import Evidence  # noqa: E402
from ace_slam_ros.core.localization.views.search import ViewSearch  # noqa: E402
from ace_slam_ros.core.runtime.device import set_threads  # noqa: E402
from ace_slam_ros.synth.worlds import make_world  # noqa: E402

SEEDS = (21, 22)
#: Weight of the squared weights: with few wrong answers they would grow without end.
RIDGE = 0.05
ROUNDS = 60


def queries(seed: int, name: str) -> tuple[list[PosedFrame], Iterator[Query]]:
    """Return the views of a map and what is asked in it."""
    world = make_world(name, seed)
    step = max(1, world.default_frames // 240)
    views = list(rendered_frames(world, step))
    mapped, between = views[:len(views) // 2:2], views[1:len(views) // 2:4]
    strangers = list(rendered_frames(make_world(name, seed + 40), 3 * step))

    def asked() -> Iterator[Query]:
        yield from as_they_are("upright", between)
        yield from turned("rolled", between[::6], range(0, 360, 45))
        yield from unknown("unknown", strangers)
        yield from pixels_only("pixels", between)
        yield from pixels_only("pixels of later views", views[len(views) // 2::3])
        yield from as_they_are("later views", views[len(views) // 2::3])
        for query in pixels_only("unknown pixels", strangers[::2]):
            yield replace(query, T_map_cam=None)
        if name == "room":
            yield from from_the_side("side", world, mapped, (20.0, 70.0), 40, seed)
            evening = make_world("lighting", seed)
            yield from as_they_are("evening", [
                PosedFrame(evening.picture(view.T_map_cam).frame, view.T_map_cam)
                for view in between[::3]])

    return mapped, asked()


def recorded(data: Path | None) -> Iterator[tuple[str, list[PosedFrame], Iterator[Query]]]:
    """Give recorded maps, each with the rest of its own sequence and with the others."""
    views = {name: list(recorded_frames(path, 2)) for name, path in sequences(data).items()}
    for name, own in views.items():
        cut = int(0.6 * len(own))

        def asked(name: str = name, own: list[PosedFrame] = own, cut: int = cut
                  ) -> Iterator[Query]:
            yield from as_they_are("later", own[cut::4])
            yield from pixels_only("later pixels", own[cut::4])
            yield from turned("rolled", own[cut::24], range(45, 360, 90))
            for other, strangers in views.items():
                if other != name:
                    yield from unknown("unknown", strangers[::16])

        yield name, own[:cut:4], asked()


def gather(data: Path | None) -> list[tuple[Evidence, bool]]:
    """Ask everything; the evidence of each pose, and whether it was right."""
    config = SlamConfig()
    encoder = load_encoder(config.encoder, torch.device("cpu"))
    search, found = ViewSearch(config, encoder), []
    rendered = ((f"{name} {seed}", *queries(seed, name))
                for seed in SEEDS for name in ("room", "corridor"))
    for name, mapped, asked in chain(recorded(data), rendered):
        head = load_head(make_head(config, encoder, mapped), encoder, config).head
        for query in asked:
            look, _ = search.best(query.frame, head)
            if look is None:
                continue
            frame = query.frame
            found.append((Evidence.of(
                look.pose, search.rival(frame, look), frame.depth_m is not None,
                head.head_type),
                is_right(query, look.pose.T_map_cam)))
        print(f"{name}: {len(found)} poses, {sum(not r for _, r in found)} wrong", flush=True)
    return found


def fit(x_NF: Float64Array, right_N: Float64Array) -> Float64Array:
    """Return the weights of a logistic model, by Newton's method."""
    weights = np.zeros(x_NF.shape[1])
    ridge = RIDGE * np.diag(np.append(0.0, np.ones(len(weights) - 1)))
    for _ in range(ROUNDS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x_NF @ weights, -30.0, 30.0)))
        gradient = x_NF.T @ (p - right_N) + ridge @ weights
        curvature = (x_NF * (p * (1.0 - p))[:, None]).T @ x_NF + ridge
        weights -= np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
    return weights


def main() -> None:
    """Fit both models; every third query is held out to test them, then they are fitted to all."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, help="folder of sequences, one per folder")
    set_threads(1)
    found = gather(arguments.parse_args().data)
    for name, has_depth in (("_WEIGHTS_DEPTH", True), ("_WEIGHTS_PIXELS", False)):
        some = [(e.figures(), right) for e, right in found if e.has_depth is has_depth]
        x_NF, right_N = np.array([f for f, _ in some]), np.array([r for _, r in some], float)
        held = np.arange(len(some)) % 3 == 2
        score_N = x_NF[held] @ fit(x_NF[~held], right_N[~held])
        error, _ = calibration_error(1.0 / (1.0 + np.exp(-score_N)), right_N[held])
        weights = ", ".join(f"{w:.2f}" for w in fit(x_NF, right_N))
        print(f"{name} = ({weights})  # {len(some)} poses, {int((1 - right_N).sum())} wrong, "
              f"held out error {error:.3f}")


if __name__ == "__main__":
    main()
