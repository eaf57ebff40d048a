"""A part of the robot in the picture: what it costs when nobody names it, and what a mask saves.

    python benchmarks/robot_parts.py [--data FOLDER] [--frames N] --out FILE.json

A plate, a photo or random texture is drawn over the bottom of each picture, with its own depth,
with none, or with that of the scene behind it. Every frame is tracked; the error is set beside
that of the same frames as they were recorded.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ace_slam_ros.core.runtime.library_threads import calm_library_threads

calm_library_threads()  # before numpy: as the command line and the nodes run

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from lib.report import Report, parser, say, sequences  # noqa: E402

from ace_slam_ros.core.config.sections import SlamConfig  # noqa: E402
from ace_slam_ros.core.data.frame import Frame  # noqa: E402
from ace_slam_ros.core.data.trajectory import Trajectory  # noqa: E402
from ace_slam_ros.core.encoders.loading import load_encoder  # noqa: E402
from ace_slam_ros.core.runtime.device import choose_device, set_threads  # noqa: E402
from ace_slam_ros.core.slam import Slam  # noqa: E402
from ace_slam_ros.core.warm_up import warm_up  # noqa: E402
from ace_slam_ros.evaluation.trajectory_error import absolute_trajectory_error  # noqa: E402
from ace_slam_ros.io.open_source import open_source  # noqa: E402
from ace_slam_ros.synth.sequence import write_sequence  # noqa: E402

#: ATE over that of the same frames without the part.
MOST = 1.5
#: Depth of a part that has one, at its upper and at its lower edge, meters.
FAR_M, NEAR_M = 0.9, 0.45
GRAIN = 2.0  # noise of its gray values


@dataclass(frozen=True)
class Part:
    """A part of the robot: how it looks, its share of the picture, and what its depth is."""

    look: str
    share: float
    depth: str = "its own"

    def __str__(self) -> str:
        return f"{self.look} over {100 * self.share:.0f} %, depth {self.depth}"


PARTS = (
    Part("plate", 0.10), Part("plate", 0.15), Part("plate", 0.35), Part("photo", 0.15),
    Part("photo", 0.35), Part("texture", 0.15), Part("texture", 0.35),
    Part("plate", 0.25, "none"), Part("photo", 0.25, "of the scene"),
)


def looks(part: Part, photo: np.ndarray) -> np.ndarray:
    """Draw a part (rows, W, 3) for pictures of a size; `photo` is one of them."""
    height, width = photo.shape[:2]
    rows = round(part.share * height)
    if part.look == "photo":
        return np.ascontiguousarray(photo[height // 4:height // 4 + rows, ::-1])
    if part.look == "texture":
        blocks = np.random.default_rng(3).integers(0, 255, (rows // 4 + 1, width // 4, 3))
        return np.asarray(cv2.resize(blocks.astype(np.uint8), (width, rows)))
    image = np.full((rows, width, 3), 150, np.uint8)
    for y in range(6, rows, 18):
        for x in range(6 + 9 * (y // 18 % 2), width, 18):
            cv2.circle(image, (x, y), 5, (25, 25, 25), -1, cv2.LINE_AA)
    return image


def with_part(frames: list[Frame], part: Part) -> Iterator[Frame]:
    """Yield frames with a part drawn over them."""
    drawn, rng = looks(part, frames[-1].image), np.random.default_rng(5)
    rows = len(drawn)
    for frame in frames:
        image, depth = frame.image.copy(), np.array(frame.depth_m)
        noisy = drawn + rng.normal(0, GRAIN, drawn.shape)
        image[-rows:] = np.clip(noisy, 0, 255).astype(np.uint8)
        if part.depth == "its own":
            depth[-rows:] = np.linspace(FAR_M, NEAR_M, rows, dtype=np.float32)[:, None]
        elif part.depth == "none":
            depth[-rows:] = 0
        yield replace(frame, image=image, depth_m=depth)


def track(
    frames: Iterator[Frame] | list[Frame], truth: Trajectory, encoder: Any
) -> dict[str, Any]:
    """Track frames; return the error in cm, the frames without pose, and what was left out."""
    slam = Slam(SlamConfig(), encoder)
    results = [slam.process(frame) for frame in frames]
    known = [(r.stamp_ns, r.T_map_cam) for r in results if r.T_map_cam is not None]
    ate = absolute_trajectory_error(Trajectory.of(known), truth).rmse_m
    return {"ate_cm": 100 * ate, "without_pose": len(results) - len(known),
            "left_out": slam.tracker.robot_parts.share}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 when an error is too large."""
    made = parser("A part of the robot in the picture.")
    made.add_argument("--frames", type=int, default=250, metavar="N", help="of each sequence")
    args = made.parse_args(argv)
    set_threads(1)
    config = SlamConfig()
    encoder = load_encoder(config.encoder, choose_device(config.device))
    warm_up(config, encoder)
    report = Report("robot_parts")
    with tempfile.TemporaryDirectory() as folder:
        found = dict(sequences(args.data))
        if not found:
            report.missing("--data: recorded sequences; a rendered room stands in")
            found = {"room": write_sequence(Path(folder) / "room", "room", 1, args.frames)}
        for name, path in found.items():
            measure(report, name, path, args.frames, encoder)
    return report.finish(args.out)


def measure(report: Report, name: str, path: Path, count: int, encoder: Any) -> None:
    """Set the errors of a sequence with each part beside that without one."""
    source = open_source(path)
    if source.groundtruth is None:
        report.missing(f"{name}: ground truth")
        return
    frames = [frame for _, frame in zip(range(count), source, strict=False)]
    alone = track(frames, source.groundtruth, encoder)
    figures = report.figures[name] = {"alone": alone}
    say(f"{name} alone: {alone['ate_cm']:.2f} cm")
    for part in PARTS:
        found = figures[str(part)] = track(with_part(frames, part), source.groundtruth, encoder)
        say(f"{name} {part}: {found['ate_cm']:.2f} cm, {100 * found['left_out']:.0f} % left out")
        report.at_most(f"{name}, {part}: ATE over that without it",
                       found["ate_cm"] / alone["ate_cm"], MOST)
    report.at_most(f"{name}: left out where there is no part", alone["left_out"], 0.0)


if __name__ == "__main__":
    sys.exit(main())
