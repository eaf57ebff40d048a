"""Scene heads compared: error against training time, times, map bytes, re-targeting, forgetting.

python benchmarks/heads.py --data FOLDER --out heads.json [--quick]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import torch
from lib.heads_measure import (
    HEADS,
    Setting,
    forgetting,
    learning_curve,
    resident_mb,
    retargeting,
    times,
)
from lib.known_poses import (
    PosedFeatures,
    describe,
    even_odd,
    first_last,
    recorded_frames,
    rendered_frames,
)
from lib.report import Report, interleaved_ms, parser, say, sequences
from lib.yardstick import take_yardstick

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.extraction import extract_features
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.heads.neural.learner import GradientLearner
from ace_slam_ros.core.runtime.device import set_threads
from ace_slam_ros.core.runtime.memory import peak_rss_mb
from ace_slam_ros.synth.worlds import make_world

WORLDS = ("room", "corridor")
#: The sequence that the bars of the default head are for.
BAR_SEQUENCE = "tum_fr1_xyz"
FEATURES, RETARGETED = 1200, 200
#: Share of the corridor's frames that are its first meters.
FIRST_SHARE = 0.12


def main() -> int:
    """Run the benchmark; returns 0, or 1 when a check fails."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true",
                           help="fewer frames and shorter training: for a first look")
    args = arguments.parse_args()
    set_threads(1)
    report = Report("heads")
    setting = Setting(SlamConfig(), load_encoder(SlamConfig().encoder, torch.device("cpu")))
    marks_s = (2.0, 5.0, 10.0) if args.quick else (2.0, 5.0, 10.0, 20.0, 40.0)
    views = _all_views(setting, args.data, args.quick, report)
    curves = {name: _compare(name, v, setting, marks_s) for name, v in views.items()}
    report.figures["learning"] = curves
    _bars_of_the_default(views, setting, report)
    _bars_of_the_networks(curves, report)
    _bars_of_tokens(views, setting, sequences(args.data), report)
    some = next(iter(views.values()))
    _times_and_retargeting(some, setting, 15 if args.quick else 40, report)
    if "corridor" in views:
        _forgetting(views["corridor"], setting, report)
    _gpu(some, report)
    report.figures["peak_rss_mb"] = peak_rss_mb()
    plot(curves, args.out.with_suffix(".png"))
    return report.finish(args.out)


def _all_views(
    setting: Setting, data: Path | None, quick: bool, report: Report
) -> dict[str, list[PosedFeatures]]:
    """Return the features of every sequence by name: recorded ones, then rendered ones."""
    def extract(frame: Frame) -> Features:
        return extract_features(
            setting.encoder, frame, setting.config.features, setting.config.sensor)

    found: dict[str, list[PosedFeatures]] = {}
    recorded = sequences(data)
    for name, path in recorded.items():
        say(f"describing {name}")
        found[name] = describe(recorded_frames(path, 4 if quick else 1), extract)
    if BAR_SEQUENCE not in recorded:
        report.missing(f"{BAR_SEQUENCE} in --data: the accuracy of the default head has its bars "
                       "there")
    for name in WORLDS:
        say(f"rendering {name}")
        world = make_world(name, seed=1)
        every = world.default_frames // (40 if quick else 120)
        found[name] = describe(rendered_frames(world, every), extract)
    return found


def _compare(
    name: str, views: list[PosedFeatures], setting: Setting, marks_s: tuple[float, ...]
) -> dict[str, Any]:
    """Return the learning curves of all heads on a sequence: even frames learned, odd asked."""
    learned, queried = even_odd(views)
    queried = queried[:: max(1, len(queried) // 60)]
    curves = {}
    for head_type in HEADS:
        held = resident_mb()
        curves[head_type] = learning_curve(setting, head_type, learned, queried, marks_s)
        last = curves[head_type][-1]
        last["resident_mb_grown"] = resident_mb() - held
        say(f"{name} {head_type}: {last['train_cpu_s']:.1f} s, {_cm(last['median_cm'])} cm, "
            f"{100 * last['recall_5cm_5deg']:.0f} % < 5 cm/5 deg, "
            f"coordinates {last['coordinate_median_cm']:.1f} cm, "
            f"{last['map_bytes'] / 1e6:.2f} MB")
    return curves


def _cm(value: float | None) -> str:
    return "no pose" if value is None else f"{value:.2f}"


def _bars_of_the_default(
    views: dict[str, list[PosedFeatures]], setting: Setting, report: Report
) -> None:
    """Accuracy of the default head, by both splits, on every sequence; bars on one."""
    head_type = setting.config.head.type
    figures: dict[str, Any] = {}
    for name, all_views in views.items():
        for split, (learned, queried) in (
                ("even_odd", even_odd(all_views)), ("first_last", first_last(all_views))):
            curve = learning_curve(setting, head_type, learned, queried, (10.0,))[-1]
            figures.setdefault(name, {})[split] = curve
    report.figures["default_head"] = {"type": head_type} | figures
    if BAR_SEQUENCE in figures:
        found, later = figures[BAR_SEQUENCE]["even_odd"], figures[BAR_SEQUENCE]["first_last"]
        report.at_most("even -> odd: median position, cm", found["median_cm"], 0.8)
        report.at_most("even -> odd: median rotation, deg", found["median_deg"], 0.5)
        report.at_least("even -> odd: within 5 cm / 5 deg", found["recall_5cm_5deg"], 0.995)
        report.at_most("total training, CPU s", found["train_cpu_s"], 10.0)
        report.at_most("map, MB", found["map_bytes"] / 1e6, 1.0)
        report.at_most("first 60 % -> last 40 %: median position, cm", later["median_cm"], 1.2)


def _bars_of_tokens(
    views: dict[str, list[PosedFeatures]], setting: Setting, recorded: dict[str, Path],
    report: Report,
) -> None:
    """Accuracy and size of the head with tokens on the sequence with bars; its times there."""
    if BAR_SEQUENCE not in recorded:
        return
    splits = {"even -> odd": even_odd, "first 60 % -> last 40 %": first_last}
    for split, parted in splits.items():
        learned, queried = parted(views[BAR_SEQUENCE])
        found = learning_curve(setting, "aceg", learned, queried, (0.0,))[-1]
        report.figures.setdefault("aceg", {})[split] = found
        report.at_most(f"aceg, {split}: median position, cm", found["median_cm"], 1.5)
        report.at_most(f"aceg, {split}: map, MB", found["map_bytes"] / 1e6, 1.0)
    spent = times(setting, views[BAR_SEQUENCE][:120], FEATURES, 15)
    unit_ms = take_yardstick(recorded[BAR_SEQUENCE]).wall_ms
    report.at_most(f"aceg: predict {FEATURES} features, yardsticks (1 thread)",
                   spent["predict_ms_1_threads"]["aceg"] / unit_ms, 6.0)
    report.at_most("aceg: insert a keyframe, ms", spent["insert_ms_2_threads"]["aceg"], 40.0)
    moved = retargeting(setting, "aceg", views[BAR_SEQUENCE], RETARGETED)
    report.at_most(f"aceg: re-target {RETARGETED} keyframes, ms", moved["ms"], 50.0)
    report.at_most("aceg: tokens off where a motion of all keyframes takes them, m",
                   moved["rigid_gap_m_max"], 1e-3)


def _bars_of_the_networks(curves: dict[str, dict[str, Any]], report: Report) -> None:
    """TriMLP against HomMLP at equal training time, by scene coordinates and by pose."""
    ratios: dict[str, Any] = {}
    for name, by_head in curves.items():
        ratios[name] = [{
            "train_cpu_s": round(tri["train_cpu_s"], 1),
            "coordinates": tri["coordinate_median_cm"] / hom["coordinate_median_cm"],
            "position": _ratio(tri["median_cm"], hom["median_cm"]),
            "inlier_ratio": _ratio(tri["inlier_ratio"], hom["inlier_ratio"]),
        } for tri, hom in zip(by_head["trimlp"], by_head["hommlp"], strict=True)]
    report.figures["trimlp_over_hommlp"] = ratios
    if BAR_SEQUENCE in ratios:
        last = ratios[BAR_SEQUENCE][-1]
        report.at_most("TriMLP / HomMLP, error of scene coordinates at equal time",
                       last["coordinates"], 1.0)


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _times_and_retargeting(
    views: list[PosedFeatures], setting: Setting, rounds: int, report: Report
) -> None:
    """Times on the CPU; bars for the default head."""
    default = setting.config.head.type
    spent = times(setting, views[:120], FEATURES, rounds)
    report.figures["times"] = spent
    report.at_most("insert a keyframe, ms (2 threads)", spent["insert_ms_2_threads"][default],
                   30.0)
    report.at_most(f"predict {FEATURES} features, ms (2 threads)",
                   spent["predict_ms_2_threads"][default], 5.0)
    moved = {h: retargeting(setting, h, views, RETARGETED) for h in HEADS}
    report.figures["retarget"] = moved
    report.at_most(f"re-target {RETARGETED} keyframes, ms", moved[default]["ms"], 50.0)
    report.at_most("re-targeted against rebuilt, beyond a step of storage, m",
                   moved["affine"]["rebuilt_gap_beyond_storage_m"], 1e-4)


def _forgetting(views: list[PosedFeatures], setting: Setting, report: Report) -> None:
    """Relocalization in the first meters of the corridor, right after them and after its end."""
    found = {h: forgetting(setting, h, views, FIRST_SHARE) for h in HEADS}
    report.figures["corridor_first_metres"] = found
    default = found[setting.config.head.type]
    now, later = default["right_after"], default["after_the_end"]
    report.at_least("corridor's first meters: recall after its end minus right after",
                    later["recall_10cm_5deg"] - now["recall_10cm_5deg"], -0.02)
    change = None
    if now["median_cm"] is not None and later["median_cm"] is not None:
        change = later["median_cm"] - now["median_cm"]
    report.at_most("corridor's first meters: median after its end minus right after, cm",
                   change, 0.1)


def _gpu(views: list[PosedFeatures], report: Report) -> None:
    """Training steps on the GPU, where there is one; `gpu.py` times frames there."""
    if not torch.cuda.is_available():
        report.missing("CUDA: no figures of a GPU")
        return
    config = SlamConfig().with_values({"head.batch_features": 2048})
    setting = Setting(config, load_encoder(config.encoder, torch.device("cuda")))
    network = setting.learner("trimlp")
    assert isinstance(network, GradientLearner)
    for i, view in enumerate(views[:100]):
        keyframe = view.keyframe(i)
        network.observe(keyframe, keyframe.T_map_cam)

    def hundred_steps() -> None:
        network.steps(100)
        torch.cuda.synchronize()

    spent = interleaved_ms({"steps": hundred_steps}, rounds=30)
    steps_per_s = 100 / (spent["steps"] * 1e-3)
    report.figures["gpu"] = {"trimlp_steps_per_s_batch_2048": steps_per_s}
    report.at_least("GPU: TriMLP steps per second, batch 2,048", steps_per_s, 2000.0)


def plot(curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw position and coordinate error against training time for every head and sequence."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(curves), figsize=(4.2 * len(curves), 6.4), squeeze=False, sharex=True)
    labels = (("median_cm", "median position error, cm"),
              ("coordinate_median_cm", "median coordinate error, cm"))
    for column, (name, by_head) in enumerate(curves.items()):
        for row, (key, label) in enumerate(labels):
            axis = axes[row][column]
            for head_type, curve in by_head.items():
                known = [(p["train_cpu_s"], p[key]) for p in curve if p[key] is not None]
                axis.plot(*zip(*known, strict=True) if known else ((), ()), "o-", label=head_type)
            axis.set(xscale="log", yscale="log", title=name if row == 0 else "",
                     xlabel="training, CPU seconds" if row == 1 else "",
                     ylabel=label if column == 0 else "")
            axis.grid(True, which="both", alpha=0.3)
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
