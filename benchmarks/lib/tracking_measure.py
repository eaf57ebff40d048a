"""What the tracking benchmark runs, how often and how fast, and the figures it takes of a run."""

from __future__ import annotations

from typing import Any

from .tracking_runs import (
    FAST,
    Runs,
    Sequence,
    map_ate_m,
    mover_shares,
    on_all_cores,
    path_length_m,
)
from .yardstick import Yardstick, take_yardstick

#: The recorded sequence that everybody measures; it is also played faster than it was recorded.
RECORDED = "tum_fr1_xyz"
RATES = (1.0, 1.5, 2.0)
_REPEATS = 3


def measure(
    found: list[Sequence], programs: list[Runs], repeats: int | None = None
) -> list[dict[str, dict[str, Any]]]:
    """Run all sequences both ways, with one program after the other.

    Args:
        found: sequences to run on.
        programs: this version, and maybe an older one.
        repeats: real-time runs of each kind; None = three of recorded and fast sequences, which
            have bars for them, else one.

    Returns:
        Per program {title: figures}: `every_frame` of one run, `realtime` a list with those of
        every run, its `rate` among them, and what else is known of the sequence.
    """
    # Time passes alone; what does not depend on time may share the machine. The CPU time of
    # recorded sequences has a bar, and what else runs would add to it.
    jobs = [(sequence, program) for sequence in found for program in programs]
    alone = [job for job in jobs if job[0].seed is None]
    live = [_live(sequence, programs, repeats) for sequence in found]
    every = dict(zip(alone, [_every_frame(job) for job in alone], strict=True))
    rest = [job for job in jobs if job[0].seed is not None]
    every |= zip(rest, on_all_cores(_every_frame, rest), strict=True)
    return [
        {sequence.title: {
            "every_frame": every[sequence, program], "realtime": live[k][number],
            **_known(sequence, program, every[sequence, program])}
         for k, sequence in enumerate(found)}
        for number, program in enumerate(programs)]


def _live(
    sequence: Sequence, programs: list[Runs], repeats: int | None
) -> list[list[dict[str, Any]]]:
    """Run in real time, programs in turn; returns per program the figures of its runs."""
    measured: list[list[dict[str, Any]]] = [[] for _ in programs]
    if repeats is None:
        repeats = _REPEATS if sequence.seed is None or sequence.name == FAST else 1
    before = take_yardstick(sequence.path)
    for rate in RATES if sequence.name == RECORDED else (1.0,):
        for number in range(1, repeats + 1):
            for program, runs in zip(programs, measured, strict=True):
                name = f"{sequence.title}.realtime_x{rate:g}_{number}"
                summary = program.run(sequence, name, rate=rate)
                after = take_yardstick(sequence.path)
                runs.append({"rate": rate} | figures_of(
                    summary, sequence, program, name, before.mean(after)))
                before = after
    return measured


def _every_frame(job: tuple[Sequence, Runs]) -> dict[str, Any]:
    sequence, program = job
    name, before = f"{sequence.title}.every_frame", take_yardstick(sequence.path)
    summary = program.run(sequence, name)
    yardstick = before.mean(take_yardstick(sequence.path))
    return figures_of(summary, sequence, program, name, yardstick)


def figures_of(
    summary: dict[str, Any], sequence: Sequence, program: Runs, name: str, yardstick: Yardstick
) -> dict[str, Any]:
    """Return the figures of a run; a summary of an older version may lack some, None then."""
    if "failed" in summary:
        return summary
    nees, known = summary.get("nees") or {}, summary["ate_rmse_m"] is not None
    kind = "pose_mocap" if sequence.seed is None else "pose"
    latency, cpu_ms = summary["latency_ms"], summary.get("cpu_ms_per_frame")
    gave_up = summary.get("gave_up") or {}
    return {
        "frames": summary["frames"], "lost": summary["lost"], "skipped": summary["skipped"],
        "skipped_share": summary["skipped"] / max(1, summary["frames"]),
        "longest_lost_s": summary.get("longest_lost_s"), "submaps": summary.get("submaps"),
        "ate_m": summary["ate_rmse_m"], "raw_ate_m": summary["raw_ate_rmse_m"],
        "rpe_m_per_s": summary["rpe_trans_m_per_s"],
        "p50_ms": latency["p50"], "p95_ms": latency["p95"], "cpu_ms": cpu_ms,
        "yardstick_ms": yardstick.wall_ms, "yardstick_cpu_ms": yardstick.cpu_ms,
        "p50_yardsticks": latency["p50"] / yardstick.wall_ms,
        "p95_yardsticks": latency["p95"] / yardstick.wall_ms,
        "cpu_yardsticks": None if cpu_ms is None else cpu_ms / yardstick.cpu_ms,
        "rss_mb": summary["peak_rss_mb"], "map_bytes": summary["map_bytes"],
        "nees": nees.get(kind),
        "map_ate_m": map_ate_m(sequence, program.folder / name) if known else None,
        "stages_ms": summary["stages_ms"], "head_share": gave_up.get("head_share"),
        "gave_up": gave_up,
    }


def _known(sequence: Sequence, program: Runs, every: dict[str, Any]) -> dict[str, Any]:
    """What is known of a rendered sequence: its length, and who moves in it and in the map."""
    known: dict[str, Any] = {}
    if sequence.seed is not None:
        known["length_m"] = path_length_m(sequence)
    if (sequence.path / "movers.npz").exists() and "failed" not in every:
        out = program.folder / f"{sequence.title}.every_frame"
        known |= zip(("mover_share", "mover_pixels"), mover_shares(sequence, out), strict=True)
    return known
