"""Heads side by side where views change: light, side, roll, distance, number of mapping views.

    python benchmarks/change.py [--seeds N] [--cache FOLDER] [--regressor NAME=FILE] --out FILE

Maps are made of keyframes at their true poses in rendered rooms, queries are solved without a
prior and without turned or warped views of them: what is compared is what heads recognize. Every
`--regressor` adds a row `aceg NAME` with other weights (`NAME=` for none: keys without training).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ace_slam_ros.core.runtime.library_threads import calm_library_threads

calm_library_threads()  # before numpy: as the command line and the nodes run

import numpy as np  # noqa: E402
import torch  # noqa: E402
from lib.changed_views import Case, cases_of  # noqa: E402
from lib.heads_measure import Setting, query  # noqa: E402
from lib.known_poses import Relocalizations  # noqa: E402
from lib.report import Report, parser, say  # noqa: E402

from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.heads.aceg.head import AcegHead  # noqa: E402
from ace_slam_ros.core.heads.aceg.learner import AcegLearner  # noqa: E402
from ace_slam_ros.core.heads.aceg.regressor import regressor_for  # noqa: E402
from ace_slam_ros.core.heads.base import SceneHead  # noqa: E402
from ace_slam_ros.core.runtime.device import set_threads  # noqa: E402

HEADS = ("affine", "aceg", "affine+aceg")
#: Cases whose views differ from the mapped ones.
CHANGED = ("aside", "light", "rolled", "near")


@dataclass
class Rows:
    """What a head answered in a case, over all seeds."""

    answers: list[Relocalizations] = field(default_factory=list)
    map_bytes: list[int] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return what the report holds."""
        many = [np.concatenate([getattr(a, name) for a in self.answers]) for name in (
            "error_m_N", "error_deg_N", "inlier_ratio_N", "near_N")]
        error_m, error_deg, inliers, near = many
        found = {f"recall_{m * 100:.0f}cm_5deg": float(np.mean((error_m < m) & (error_deg < 5)))
                 for m in (0.05, 0.1)}
        return {"queries": len(error_m), **found, "inlier_ratio": float(inliers.mean()),
                "coordinates_within_5cm": float(near.mean()),
                "predict_cpu_ms": float(np.mean([a.predict_ms for a in self.answers])),
                "solve_cpu_ms": float(np.mean([a.solve_ms for a in self.answers])),
                "map_mb": float(np.mean(self.map_bytes)) / 1e6}


class Comparison:
    """Heads by name, and what they answered.

    Args:
        regressors: further weights of `aceg` by name; an empty path stands for none.
        values: parameters of the head for all of them.
    """

    def __init__(self, regressors: dict[str, Path], values: dict[str, Any]) -> None:
        config = SlamConfig()
        self._setting = Setting(config, load_encoder(config.encoder, torch.device("cpu")))
        self._regressors, self._values = regressors, values
        self.names = (*HEADS, *(f"aceg {name}" for name in regressors))
        self.rows: dict[str, dict[str, Rows]] = {}

    def ask(self, cases: dict[str, Case], seed: int) -> None:
        """Make the maps of a seed, and ask."""
        made: dict[tuple[str, str], tuple[SceneHead, int]] = {}
        for case, what in cases.items():
            for name in self.names if what.asked else ():
                key = (what.mapped, name)
                if key not in made:
                    made[key] = self._learned(name, what)
                head, size = made[key]
                rows = self.rows.setdefault(case, {}).setdefault(name, Rows())
                rows.answers.append(query(self._setting, head, what.asked))
                rows.map_bytes.append(size)
            say(f"room {seed}, {case}: {len(what.asked)} queries")

    def _learned(self, name: str, case: Case) -> tuple[SceneHead, int]:
        keyframes = [view.keyframe(k) for k, view in enumerate(case.learned)]
        head_type, _, weights = name.partition(" ")
        if not weights:
            learner = self._setting.learner(head_type, **(
                self._values if "aceg" in head_type else {}))
            for keyframe in keyframes:
                learner.observe(keyframe, keyframe.T_map_cam)
            return self._setting.frozen(learner)
        path = self._regressors[weights]
        regressor = regressor_for(
            self._setting.encoder, path if path.name else Path("no weights"))
        config = self._setting.config.with_values(
            {f"head.{k}": v for k, v in self._values.items()})
        tokens = AcegLearner(config.head, config.sensor, regressor)
        for keyframe in keyframes:
            tokens.observe(keyframe, keyframe.T_map_cam)
        weights_bytes = sum(array.nbytes for array in tokens.export().values())
        return AcegHead(tokens.export(), regressor), weights_bytes


def table(rows: dict[str, dict[str, Rows]], names: tuple[str, ...]) -> str:
    """Return a Markdown table: recall within 10 cm and 5 deg / features that agree, percent."""
    lines = ["| | " + " | ".join(f"`{name}`" for name in names) + " |",
             "|---" * (len(names) + 1) + "|"]
    for case, by_head in rows.items():
        cells = [by_head[name].figures() for name in names]
        lines.append(f"| {case} | " + " | ".join(
            f"{100 * c['recall_10cm_5deg']:.0f} / {100 * c['inlier_ratio']:.0f}"
            for c in cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Compare; exit code 1 when a check fails."""
    arguments = parser(__doc__.split("\n")[0])
    arguments.add_argument("--seeds", type=int, default=3, help="rooms, 3")
    arguments.add_argument("--queries", type=int, default=20, help="of a case in a room, 20")
    arguments.add_argument("--cache", type=Path, help="folder that keeps rendered features")
    arguments.add_argument("--regressor", action="append", default=[], metavar="NAME=FILE",
                           help="further weights of aceg; without FILE none")
    arguments.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                           help="a number of the heads with tokens, such as tokens=9000")
    args = arguments.parse_args()
    set_threads(1)
    report = Report("change")
    values = {name: float(v) if "." in v else int(v)
              for name, _, v in (text.partition("=") for text in args.set)}
    compared = Comparison({name: Path(path) for name, _, path in (
        text.partition("=") for text in args.regressor)}, values)
    for seed in range(1, args.seeds + 1):
        compared.ask(cases_of(seed, args.queries, args.cache), seed)
    report.figures = {case: {name: rows.figures() for name, rows in by_head.items()}
                      for case, by_head in compared.rows.items()}
    say(table(compared.rows, compared.names))
    changed = [by_head for case, by_head in report.figures.items()
               if any(word in case for word in CHANGED)]
    missed = {name: float(np.mean([1.0 - h[name]["recall_10cm_5deg"] for h in changed]))
              for name in HEADS}
    report.figures["missed_where_views_change"] = missed
    report.at_most("where views change, missed: affine+aceg over affine",
                   missed["affine+aceg"] / max(missed["affine"], 1e-9), 0.5)
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
