"""Encoders compared: matching accuracy, relocalization with known poses, time per image and stage.

    python benchmarks/encoder.py --data DIR --weights DIR --out FILE.json [--quick]

--data: folder of sequences with ground truth. --weights: folder of third-party weights, found as
`NAME/*.pt`, `*.pth` or `*.safetensors` with NAME one of the encoders (`xfeat/xfeat_backbone.pt`).
Their codebooks are built once into --codebooks. What is absent is reported as absent.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT), str(ROOT / "training")]

from ace_slam_ros.core.runtime.library_threads import calm_library_threads  # noqa: E402

calm_library_threads()  # before numpy: as the command line and the nodes run

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from build_codebook import CodebookRecipe, build_codebook  # noqa: E402
from lib.encoder_stages import stage_times  # noqa: E402
from lib.known_poses import (  # noqa: E402
    PosedFeatures,
    PosedFrame,
    affine,
    describe,
    even_odd,
    first_last,
    recorded_frames,
    relocalize,
    rendered_frames,
)
from lib.matching import (  # noqa: E402
    Contender,
    choose_pairs,
    matching_accuracy,
    orb_cells,
    sift_cells,
    summarize,
    worst_margin,
)
from lib.report import Report, interleaved_ms, parser, say, sequences  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from ace_slam_ros.core.config.sections import EncoderConfig, SlamConfig  # noqa: E402
from ace_slam_ros.core.data.features import Features  # noqa: E402
from ace_slam_ros.core.data.frame import Frame  # noqa: E402
from ace_slam_ros.core.encoders.base import Encoder  # noqa: E402
from ace_slam_ros.core.encoders.cpu.openvino_library import why_not  # noqa: E402
from ace_slam_ros.core.encoders.extraction import extract_features  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.encoders.networks.weights import NETWORKS, load_network  # noqa: E402
from ace_slam_ros.core.errors import DataError, EncoderError  # noqa: E402
from ace_slam_ros.core.runtime.precision import cpu_has_bf16  # noqa: E402
from ace_slam_ros.synth.worlds import World, make_world  # noqa: E402

OURS = "tiny"
_CPU = torch.device("cpu")
#: Bound of half precision against single precision: cosine between the two descriptors of a cell.
LEAST_COSINE = 0.999
_REFERENCE = "tum_fr1_xyz"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        every: which frames relocalization learns and queries, of recorded and rendered ones.
        match_every: which frames are paired.
        pairs: pairs drawn of each bin of baselines.
        rounds: timing rounds.
        codebook: how codebooks of other encoders are made.
    """

    every: int = 4
    match_every: int = 15
    pairs: int = 16
    rounds: int = 15
    codebook: CodebookRecipe = CodebookRecipe()


QUICK = Plan(every=20, match_every=60, pairs=5, rounds=3, codebook=CodebookRecipe(
    words=1024, groups=32, samples=20_000, rounds=5, pictures=30))


def find_weights(folder: Path | None, report: Report) -> dict[str, Path]:
    """Return {encoder name: weights} of what lies in the folder; note what does not."""
    found: dict[str, Path] = {}
    for name in NETWORKS:
        if name == OURS:
            continue
        files = [] if folder is None else sorted(
            p for p in (folder / name).glob("*")
            if p.suffix in (".pt", ".pth", ".safetensors") and "codebook" not in p.name)
        if files:
            found[name] = files[0]
        else:
            report.missing(f"weights of {name}: none in --weights {folder or '(not given)'}")
    return found


def encoder_config(name: str, path: Path, codebooks: Path, plan: Plan) -> EncoderConfig:
    """Return the parameters of a third-party encoder, with its codebook built if need be."""
    plain = EncoderConfig(name=name, weights=str(path), precision="fp32")
    network, blob = load_network(plain)
    key = hashlib.sha256(blob + repr(plan.codebook).encode()).hexdigest()[:12]
    codebook = codebooks / f"{name}-{key}.safetensors"
    if not codebook.exists():
        say(f"building the codebook of {name}")
        codebooks.mkdir(parents=True, exist_ok=True)
        temporary = codebook.with_suffix(".tmp")
        save_file(build_codebook(network, plan.codebook, _CPU), temporary)
        temporary.replace(codebook)
    return EncoderConfig(
        name=name, weights=str(path), codebook=str(codebook), precision="fp32")


def load_encoders(
    weights: dict[str, Path], codebooks: Path, plan: Plan, report: Report
) -> dict[str, EncoderConfig]:
    """Return {name: parameters} of the encoders that load here, ours first."""
    configs = {OURS: EncoderConfig(name=OURS, precision="fp32")}
    for name, path in weights.items():
        try:
            configs[name] = encoder_config(name, path, codebooks, plan)
        except EncoderError as error:
            report.missing(f"{name}: {error}")
    return configs


def measure_matching(
    report: Report, encoders: dict[str, Encoder], recorded: dict[str, Path], day: World,
    evening: World, plan: Plan,
) -> None:
    """(a) Matching accuracy by baseline, on recordings, in one light and across a light change."""
    contenders = [Contender(n, e.describe, e.stride) for n, e in encoders.items()]
    contenders += [Contender("sift", sift_cells), Contender("orb", orb_cells)]
    for name, path in recorded.items():
        views = list(recorded_frames(path, plan.match_every))
        _match(report, name, contenders, views, None, plan)
    by_day = list(rendered_frames(day, plan.match_every))
    by_night = list(rendered_frames(evening, plan.match_every))
    _match(report, "room", contenders, by_day, None, plan)
    _match(report, "room, other light", contenders, by_day, by_night, plan)


def _match(
    report: Report, name: str, contenders: list[Contender], first: list[PosedFrame],
    second: list[PosedFrame] | None, plan: Plan,
) -> None:
    sensor = SlamConfig().sensor
    pairs = choose_pairs([v.T_map_cam for v in first],
                         None if second is None else [v.T_map_cam for v in second],
                         plan.pairs, seed=0)
    scores = {}
    for contender in contenders:
        say(f"matching {name}: {contender.name}")
        scores[contender.name] = matching_accuracy(contender, first, second, pairs, sensor)
    table = summarize(scores)
    report.figures.setdefault("matching", {})[name] = {
        "bins": table, "left_out": [b for b in pairs if b not in table]}
    for contender in contenders:
        if contender.name == OURS:
            continue
        lead, where = worst_margin(table, OURS, contender.name)
        report.figures["matching"][name][f"least_lead_over_{contender.name}"] = [lead, where]
        if contender.name in ("sift", "orb", "xfeat"):
            report.at_least(f"matching, {name}: least lead over {contender.name}", lead, 0.0)


def measure_relocalization(
    report: Report, encoders: dict[str, Encoder], recorded: dict[str, Path], day: World,
    evening: World, plan: Plan,
) -> None:
    """(b) The default head with known poses: even to odd, first to last, day to evening."""
    config, figures = SlamConfig(), report.figures.setdefault("relocalization", {})
    for name, path in recorded.items():
        frames = list(recorded_frames(path, plan.every))
        for who, encoder in encoders.items():
            say(f"relocalizing {name}: {who}")
            views = describe(frames, extractor(encoder, config))
            learn = affine(config, encoder.codebook)
            for split in (even_odd, first_last):
                figures.setdefault(name, {}).setdefault(split.__name__, {})[who] = relocalize(
                    learn, *split(views), config).figures()
    lit = figures.setdefault("room learned by day, queried in the evening", {})
    by_day = list(rendered_frames(day, plan.every + 1))
    by_night = list(rendered_frames(evening, plan.every + 1))
    for who, encoder in encoders.items():
        say(f"relocalizing across the light change: {who}")
        learned: list[PosedFeatures] = describe(by_day, extractor(encoder, config))
        queried = describe(by_night, extractor(encoder, config))
        lit[who] = relocalize(
            affine(config, encoder.codebook), learned, queried, config).figures()
    _check_relocalization(report, figures)


def extractor(encoder: Encoder, config: SlamConfig) -> Any:
    """Return frame -> features as the tracker makes them."""
    def extract(frame: Frame) -> Features:
        return extract_features(encoder, frame, config.features, config.sensor)

    return extract


def _check_relocalization(report: Report, figures: dict[str, Any]) -> None:
    reference = figures.get(_REFERENCE)
    if reference is None:
        report.missing(f"sequence {_REFERENCE}: its bars on relocalization are not checked")
    else:
        odd, last = reference["even_odd"], reference["first_last"]
        report.at_least(f"{_REFERENCE}, odd frames: share within 5 cm and 5 deg",
                        odd[OURS]["recall_5cm_5deg"], 0.995)
        if "xfeat" in odd:
            report.at_least(f"{_REFERENCE}, odd frames: inlier ratio less xfeat's",
                            odd[OURS]["inlier_ratio"] - odd["xfeat"]["inlier_ratio"], 0.0)
        report.at_most(f"{_REFERENCE}, last 40 %: median cm", last[OURS]["median_cm"], 1.2)
    lit = figures["room learned by day, queried in the evening"]
    report.at_least("light change: share within 10 cm and 5 deg",
                    lit[OURS]["recall_10cm_5deg"], 0.8)


def measure_time(
    report: Report, configs: dict[str, EncoderConfig], image: np.ndarray, plan: Plan
) -> None:
    """(c) Time per image by precision and threads, and what half precision changes."""
    figures: dict[str, Any] = report.figures.setdefault("time_ms", {"size": image.shape[::-1]})
    native = cpu_has_bf16()
    threads_before = torch.get_num_threads()
    for precision in ("fp32", "bf16") if native else ("fp32",):
        encoders = {n: load_encoder(_with(c, precision), _CPU) for n, c in configs.items()}
        calls = {n: (lambda e=e: e.describe(image)) for n, e in encoders.items()}
        for threads in (1, 2):
            say(f"timing {precision} on {threads} threads")
            torch.set_num_threads(threads)
            figures[f"{precision}, {threads} threads"] = interleaved_ms(calls, plan.rounds)
        torch.set_num_threads(threads_before)
    if not native:
        report.missing("a CPU that computes in bf16: time in bf16")
    for precision, bar in (("fp32", 25.0), ("bf16", 10.0)):
        found = figures.get(f"{precision}, 2 threads")
        if found:
            report.at_most(f"640x480 in {precision} on 2 threads, ms", found[OURS], bar)
            if "xfeat" in found:
                report.at_most(f"640x480 in {precision} on 2 threads, share of xfeat's time",
                               found[OURS] / found["xfeat"], 1.0)
    single = load_encoder(_with(configs[OURS], "fp32"), _CPU).describe(image)
    half = load_encoder(_with(configs[OURS], "bf16"), _CPU).describe(image)
    _compare(report, "bf16 on the CPU", single, half)
    for name, encoder in _ways(configs[OURS]).items():
        cells = np.arange(0, single.shape[0] * single.shape[1], 3)
        _compare(report, f"cells in {name}", single.flatten(0, 1)[cells],
                 torch.from_numpy(encoder.describe_cells(image, cells)))
    if torch.cuda.is_available():
        _measure_cuda(report, configs, image, single, plan)
    else:
        report.missing("CUDA: time on a GPU")


def measure_stages(
    report: Report, config: EncoderConfig, frames: list[Frame], plan: Plan
) -> None:
    """(d) CPU time of one thread to describe a frame, by stage, runtime and precision."""
    say("timing the stages of a frame")
    found = stage_times(_ways(config), frames, SlamConfig(), plan.rounds)
    report.figures["stages_cpu_ms"] = found
    for name, bar in (("openvino, bf16", 2.0), ("openvino, fp32", 3.5)):
        if name in found:
            report.at_most(f"a frame in {name}, multiples of ORB's time",
                           found[name]["frame / yardstick"], bar)
        else:
            report.missing(f"{name}: time of a frame")


def _ways(config: EncoderConfig) -> dict[str, Encoder]:
    """Return our encoder in each runtime and precision that is native here."""
    precisions = ("bf16", "fp32") if cpu_has_bf16() else ("fp32",)
    runtimes = ("openvino", "torch") if not why_not() else ("torch",)
    return {f"{runtime}, {precision}": load_encoder(
                replace(_with(config, precision), runtime=runtime), _CPU)
            for runtime in runtimes for precision in precisions}


def _measure_cuda(
    report: Report, configs: dict[str, EncoderConfig], image: np.ndarray,
    single: torch.Tensor, plan: Plan,
) -> None:
    device = torch.device("cuda")
    encoders = {n: load_encoder(_with(c, "auto"), device) for n, c in configs.items()}

    def run(encoder: Encoder) -> None:
        encoder.describe(image)
        torch.cuda.synchronize()

    found = interleaved_ms({n: (lambda e=e: run(e)) for n, e in encoders.items()},
                           10 * plan.rounds, warm_up=20)
    report.figures["time_ms"]["cuda"] = found
    report.at_most("640x480 on CUDA, ms", found[OURS], 1.0)
    _compare(report, "CUDA", single, encoders[OURS].describe(image).cpu())


def _compare(report: Report, name: str, single: torch.Tensor, other: torch.Tensor) -> None:
    cosine = (single * other).sum(dim=-1)
    report.figures.setdefault("cosine_to_fp32_cpu", {})[name] = {
        "least": float(cosine.min()), "mean": float(cosine.mean())}
    report.at_least(f"{name}: least cosine to fp32 on the CPU", float(cosine.min()), LEAST_COSINE)


def _with(config: EncoderConfig, precision: str) -> EncoderConfig:
    return EncoderConfig(name=config.name, weights=config.weights, codebook=config.codebook,
                         precision=precision)


def with_groundtruth(data: Path | None, report: Report) -> dict[str, Path]:
    """Return {name: folder} of the sequences with ground truth; note those without."""
    found = {}
    for name, path in sequences(data).items():
        try:
            next(recorded_frames(path), None)
            found[name] = path
        except DataError as error:
            report.missing(str(error))
    if not found:
        report.missing("recorded sequences with ground truth: none in --data")
    return found


def main() -> int:
    """Measure everything and write the report."""
    command = parser(__doc__.splitlines()[0])
    command.add_argument("--weights", type=Path, help="folder of third-party weights")
    command.add_argument("--codebooks", type=Path, help="default: 'codebooks' beside --out")
    command.add_argument("--every", type=int, default=Plan.every,
                         help="relocalize every n-th frame")
    command.add_argument("--quick", action="store_true", help="a rough look in two minutes")
    args = command.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    plan = QUICK if args.quick else Plan(every=args.every)
    report = Report("encoder")
    configs = load_encoders(find_weights(args.weights, report),
                            args.codebooks or args.out.parent / "codebooks", plan, report)
    encoders = {n: load_encoder(c, _CPU) for n, c in configs.items()}
    report.figures.update(quick=args.quick, every=plan.every, encoders={
        n: {"hash": e.hash, "dimension": e.dimension, "stride": e.stride,
            "receptive_field_px": e.spec.receptive_field_px, "license": e.spec.license}
        for n, e in encoders.items()})
    recorded = with_groundtruth(args.data, report)
    day, evening = make_world("room", 0), make_world("lighting", 0)
    measure_time(report, configs, next(rendered_frames(day)).frame.gray, plan)
    measure_stages(report, configs[OURS],
                   [v.frame for v in islice(rendered_frames(day, 10), 8)], plan)
    measure_matching(report, encoders, recorded, day, evening, plan)
    measure_relocalization(report, encoders, recorded, day, evening, plan)
    return report.finish(args.out)


if __name__ == "__main__":
    sys.exit(main())
