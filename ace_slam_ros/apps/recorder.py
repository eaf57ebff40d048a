"""What the tracker said of each frame of a run."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.data.submaps import MAIN_SUBMAP
from ..core.data.trajectory import Trajectory
from ..core.tracking.scheduler import Stage
from ..evaluation.normalized_error import MOCAP_SIGMA, normalized_error

if TYPE_CHECKING:
    from ..core.tracking.result import TrackResult
    from ..viewer.rerun_view import View


class RunRecorder:
    """Collects what the tracker said of each frame."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.results: list[TrackResult] = []
        self.latencies_ms: list[float] = []
        self.cpu_ms: list[float] = []
        self.skipped = 0
        self.gave_up: dict[str, float] = {}

    def add(self, result: TrackResult, latency_ms: float, cpu_ms: float) -> None:
        """Record one processed frame: its latency, and the tracking thread's CPU time for it.

        Its keyframes are the mapper's: kept here too, they would fill the memory of a long run.
        """
        self.results.append(replace(result, keyframes=()))
        self.latencies_ms.append(latency_ms)
        self.cpu_ms.append(cpu_ms)

    @property
    def first_tracked(self) -> int | None:
        """Index of the first processed frame with a pose."""
        return next((i for i, r in enumerate(self.results) if r.has_map_pose), None)

    @property
    def unjoined(self) -> int:
        """Frames that were tracked in a submap whose place in the map was not known then."""
        return sum(r.T_map_cam is not None and r.submap != MAIN_SUBMAP for r in self.results)

    @property
    def submaps(self) -> int:
        """In how many submaps the camera was tracked, the map itself among them."""
        return len({r.submap for r in self.results if r.T_map_cam is not None})

    @property
    def head_share(self) -> float:
        """Share of the processed frames with a look of the head."""
        looks = sum(Stage.LOCALIZE.value in r.stages_ms for r in self.results)
        return looks / max(1, len(self.results))

    @property
    def cpu_ms_per_frame(self) -> float:
        """Mean CPU time of the tracking thread for a frame; the first one begins the map."""
        return float(np.mean(self.cpu_ms[1:])) if len(self.cpu_ms) > 1 else float("nan")

    @property
    def longest_lost_s(self) -> float:
        """Longest time without a pose in the map, once there was one; to the next pose, or end."""
        longest_ns, missing_ns = 0, 0
        for result in self.results[self.first_tracked or 0:]:
            if missing_ns:
                longest_ns = max(longest_ns, result.stamp_ns - missing_ns)
            if result.has_map_pose:
                missing_ns = 0
            else:
                missing_ns = missing_ns or result.stamp_ns
        return longest_ns * 1e-9

    def trajectory(self) -> Trajectory:
        """Return the poses whose place in the map is known."""
        return Trajectory.of((r.stamp_ns, r.T_map_cam) for r in self.results
                             if r.has_map_pose and r.T_map_cam is not None)

    def raw_trajectory(self) -> Trajectory:
        """Return the poses from scene coordinates alone."""
        return Trajectory.of((r.stamp_ns, r.T_map_cam_raw) for r in self.results
                             if r.T_map_cam_raw is not None)

    def normalized_errors(self, groundtruth: Trajectory) -> dict[str, float]:
        """Return the squared errors over their covariances, of pose, translation and rotation.

        These take the truth for exact, as in rendered sequences; `pose_mocap` and so on for as
        exact as motion capture of a hand-held camera.
        """
        posed, estimate = [r for r in self.results if r.has_map_pose], self.trajectory()
        covariances = np.array([r.covariance_66 for r in posed]).reshape(-1, 6, 6)
        found = {}
        for kind, sigma in (("", (0.0, 0.0)), ("_mocap", MOCAP_SIGMA)):
            error = normalized_error(estimate, covariances, groundtruth, sigma)
            found.update({f"{part}{kind}": value for part, value in asdict(error).items()})
        return found

    def median_stages(self) -> dict[str, float]:
        """Return the median time of each stage over the frames that had it, milliseconds."""
        names = sorted({name for r in self.results for name in r.stages_ms})
        return {name: round(float(np.median(
            [r.stages_ms[name] for r in self.results if name in r.stages_ms])), 2)
            for name in names}
