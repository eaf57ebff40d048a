"""The system on a GPU: time of each stage, agreement with the CPU, and the error of whole runs.

python benchmarks/gpu.py --out gpu.json [--data FOLDER]     # a few minutes; a room is rendered
python benchmarks/gpu.py --out dry.json --device cpu        # the same without a GPU, as a test

Ends with 77, and writes nothing, where there is no GPU.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]  # a machine with a GPU may have no installed package

from ace_slam_ros.core.runtime.library_threads import calm_library_threads  # noqa: E402

calm_library_threads()  # before numpy: as the command line and the nodes run

import cv2  # noqa: E402
import torch  # noqa: E402
from lib.device_agreement import (  # noqa: E402
    Side,
    agreement,
    check_agreement,
    check_times,
    check_whole_times,
    stage_times_ms,
    whole_times_ms,
)
from lib.report import Report, parser, say, sequences  # noqa: E402
from lib.tracking_runs import Runs, Sequence, rendered, shortened  # noqa: E402
from lib.yardstick import take_yardstick  # noqa: E402

from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.data.frame import Frame  # noqa: E402
from ace_slam_ros.core.slam import Slam  # noqa: E402
from ace_slam_ros.io.open_source import open_source  # noqa: E402

#: What a test that cannot be made ends with, by old custom.
SKIPPED = 77
_CPU = torch.device("cpu")
#: A run on the device may have so many times the error of the run on the CPU.
_WORSE = 1.5


def main() -> int:
    """Measure and write the report; returns 0, 1 when a check fails, 77 without a GPU."""
    command = parser(__doc__.splitlines()[0])
    command.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a dry run")
    command.add_argument("--frames", type=int, default=300, help="of the sequence")
    command.add_argument("--rounds", type=int, default=5, help="of timing")
    command.add_argument("--cache", type=Path, help="rendered worlds, default beside --out")
    args = command.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        say(f"skipped: torch {torch.__version__} sees no CUDA device here "
            "(--device cpu tries the benchmark itself)")
        return SKIPPED
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    report = Report("gpu")
    cache = args.cache or args.out.parent / "worlds"
    cache.mkdir(parents=True, exist_ok=True)
    found = sequences(args.data)
    sequence = (shortened(*next(iter(found.items())), args.frames, cache) if found
                else rendered("room", 1, args.frames, cache))
    report.figures = {"device": args.device, "sequence": sequence.title, "frames": args.frames}
    _measure_frames(report, sequence, device, args.rounds)
    _measure_runs(report, sequence, args.device, Runs(args.out.parent / "runs"))
    return report.finish(args.out)


def _measure_frames(
    report: Report, sequence: Sequence, device: torch.device, rounds: int
) -> None:
    """Map the first half of a sequence on the CPU, and look at frames of it on both devices."""
    frames = list(open_source(sequence.path))
    frames = frames[: max(2, len(frames) // 2)]
    say(f"mapping {len(frames)} frames")
    config = SlamConfig().with_values({"device": "cpu"})
    reference, other, apart = _sides(config, frames, device)
    looked_at = frames[:: max(1, len(frames) // 40)]
    report.figures["yardstick_ms"] = take_yardstick(sequence.path).wall_ms
    for name, side in (("cpu", reference), ("device, stages apart", apart)):
        say(f"timing frames: {name}")
        report.figures.setdefault("frame_ms", {})[name] = stage_times_ms(side, looked_at, rounds)
    for name, record in (("device, kernel by kernel", False), ("device, one graph", True)):
        say(f"timing frames: {name}")
        report.figures.setdefault("whole_ms", {})[name] = whole_times_ms(
            config, other, looked_at, rounds, record)
    report.figures["agreement"] = agreement(reference, other, looked_at)
    check_agreement(report, report.figures["agreement"])
    if device.type == "cuda":
        check_times(report, report.figures["frame_ms"]["device, stages apart"])
        check_whole_times(report, report.figures["whole_ms"]["device, one graph"])


def _sides(
    config: SlamConfig, frames: list[Frame], device: torch.device
) -> tuple[Side, Side, Side]:
    """One map on the CPU, in single precision; as a whole on the device; and there in stages."""
    slam = Slam(config)
    for frame in frames:
        slam.process(frame)
    head = slam.mapper.export_head()
    return (Side.of(config, head, _CPU, "fp32"),
            Side.of(config, head, device, "auto", as_a_whole=True),
            Side.of(config, head, device, "auto", as_a_whole=False))


def _measure_runs(report: Report, sequence: Sequence, device: str, runs: Runs) -> None:
    """Run the whole system on the CPU, and on the device with and without a clock."""
    figures: dict[str, Any] = report.figures.setdefault("runs", {})
    for name, where, rate in (("cpu, every frame", "cpu", None),
                              ("device, every frame", device, None),
                              ("device, real time", device, 1.0)):
        summary = runs.run(sequence, name.replace(", ", ".").replace(" ", "_"), rate=rate,
                           settings={"device": where})
        figures[name] = {key: summary.get(key) for key in (
            "failed", "device", "ate_rmse_m", "raw_ate_rmse_m", "lost", "skipped", "latency_ms",
            "cpu_ms_per_frame", "stages_ms", "gave_up", "fps")}
    check_runs(report, figures)


def check_runs(report: Report, figures: dict[str, Any]) -> None:
    """A run on the device must be about as good as on the CPU."""
    ate = figures["cpu, every frame"].get("ate_rmse_m")
    for name in ("device, every frame", "device, real time"):
        run = figures[name]
        report.at_most(f"{name}: lost", run.get("lost"), 0)
        there = run.get("ate_rmse_m")
        report.at_most(f"{name}: ATE over that of the CPU",
                       there / ate if there is not None and ate else None, _WORSE)


if __name__ == "__main__":
    sys.exit(main())
