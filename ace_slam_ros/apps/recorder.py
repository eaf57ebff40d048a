"""What the tracker said of each frame of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.data.submaps import MAIN_SUBMAP
from ..core.data.trajectory import Trajectory
from ..core.tracking.scheduler import Stage
from ..evaluation.trajectory_error import normalized_error_squared

if TYPE_CHECKING:
    from ..core.tracking.result import TrackResult
    from ..viewer.rerun_view import View

#: Of recorded ground truth, meters and radians per axis: marker noise, hand-eye calibration and
#: the synchronization of clocks. The errors of all good trackers of TUM fr1 end there.
MOCAP_SIGMA = (0.005, float(np.radians(0.3)))


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
        """Return the mean squared pose error over its covariance and its expectation.

        `pose` takes the truth for exact, as in rendered sequences; `pose_mocap` for as exact as
        motion capture of a hand-held camera.
        """
        posed, estimate = [r for r in self.results if r.has_map_pose], self.trajectory()
        covariances = np.array([r.covariance_66 for r in posed]).reshape(-1, 6, 6)
        return {name: normalized_error_squared(estimate, covariances, groundtruth, sigma)
                for name, sigma in (("pose", (0.0, 0.0)), ("pose_mocap", MOCAP_SIGMA))}

    def median_stages(self) -> dict[str, float]:
        """Return the median time of each stage over the frames that had it, milliseconds."""
        names = sorted({name for r in self.results for name in r.stages_ms})
        return {name: round(float(np.median(
            [r.stages_ms[name] for r in self.results if name in r.stages_ms])), 2)
            for name in names}
