"""Maps and queries that differ from what was mapped: light, side, roll, distance, few views."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.base import Encoder
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.synth.worlds import make_world

from .known_poses import PosedFeatures, PosedFrame, describe, rendered_frames
from .relocalization_queries import Query, from_the_side, scaled, turned

#: Part of the path that a narrow map is made of, and how many views a map of few has.
NARROW, FEW = 8, 3
SIDES = ((20.0, 45.0), (45.0, 70.0))
_ROLLS, _SCALES = ((-28.0, 28.0), (-42.0, 42.0)), (0.4, 2.5)


@dataclass(frozen=True)
class Case:
    """A map and what is asked in it.

    Attributes:
        mapped: name of the map.
        learned: views that the map is made of.
        asked: queries.
    """

    mapped: str
    learned: list[PosedFeatures]
    asked: list[PosedFeatures]


def cases_of(seed: int, queries: int, folder: Path | None) -> dict[str, Case]:
    """Return the cases of the room of a seed by name, kept as features in a folder if given."""
    path = None if folder is None else folder / f"room_{seed}_{queries}.pickle"
    if path is not None and path.exists():
        kept: dict[str, Case] = pickle.loads(path.read_bytes())
        return kept
    config = SlamConfig()
    made = _make(seed, queries, config, load_encoder(config.encoder, torch.device("cpu")))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(made))
    return made


def _make(seed: int, count: int, config: SlamConfig, encoder: Encoder) -> dict[str, Case]:
    def seen(frames: Iterable[PosedFrame | Query]) -> list[PosedFeatures]:
        return describe((PosedFrame(f.frame, f.T_map_cam) for f in frames
                         if f.T_map_cam is not None), extract)

    def extract(frame: Frame):  # type: ignore[no-untyped-def]
        return extract_features(encoder, frame, config.features, config.sensor)

    day, evening = make_world("room", seed), make_world("lighting", seed)
    views = list(rendered_frames(day, 3))
    half, narrow = views[:len(views) // 2:2], views[:len(views) // NARROW:2]
    few = narrow[::max(1, len(narrow) // FEW)][:FEW]
    maps = {"half of the path": seen(half), "an eighth of the path": seen(narrow),
            "three views": seen(few), "one view": seen(few[1:2])}
    between = views[1:len(views) // 2:2]
    asked = {
        "same path": ("half of the path", between[::max(1, len(between) // count)]),
        "other path and light": ("half of the path", list(rendered_frames(
            evening, evening.default_frames // count)))}
    found: dict[str, tuple[str, Iterable[PosedFrame | Query]]] = dict(asked)
    for low, high in SIDES:
        name = f"{low:.0f} to {high:.0f} deg aside"
        for light, world in (("", day), (", evening", evening)):
            found[name + light] = ("an eighth of the path", from_the_side(
                name, world, narrow, (low, high), count, seed))
    found["20 to 45 deg aside, three views"] = ("three views", from_the_side(
        "few", day, few, SIDES[0], count, seed + 50))
    found["20 to 45 deg aside, one view"] = ("one view", from_the_side(
        "one", day, few[1:2], SIDES[0], count, seed + 60))
    found["45 to 70 deg aside, one view, evening"] = ("one view", from_the_side(
        "one", evening, few[1:2], SIDES[1], count, seed + 70))
    for rolls in _ROLLS:
        found[f"rolled by {rolls[1]:.0f} deg"] = ("an eighth of the path", turned(
            "rolled", narrow[1::max(1, 2 * len(narrow) // count)], rolls))
    found["0.4 and 2.5 times as near"] = ("an eighth of the path", scaled(
        "scaled", day, narrow, _SCALES, count // 2, seed))
    return {name: Case(mapped, maps[mapped], seen(frames))
            for name, (mapped, frames) in found.items()}
