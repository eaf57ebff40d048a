"""Features of one frame and keyframes: what the tracker extracts and the mapper learns from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..geometry.arrays import Float32Array, Float64Array, Int8Array
    from .camera import Camera
    from .features import Features
    from .floor_scan import FloorScan


@dataclass(frozen=True)
class Keyframe:
    """A frame the mapper learns from: features, camera-frame points and a pose, never an image.

    Attributes:
        id: unique and increasing within one tracker run.
        stamp_ns: stamp of the frame.
        T_map_cam: (4, 4) camera-to-map pose at creation, in the frame of its submap.
        descriptors_i8_ND: (N, D) int8; scaled to unit norm they are the descriptors.
        pixels_N2: (N, 2) float32 pixels.
        points_cam_N3: (N, 3) float32 camera-frame points, meters, all finite.
        camera: intrinsics.
        reference: id and pose (this camera in that keyframe's) of the keyframe it was tracked
            against, as the tracker measured it; None for the first. It stays true when
            corrections that the tracker does not know yet have moved both.
        submap: number of the submap that the pose is in, see `data.submaps`.
        map_revision: how many corrections of the map the tracker had followed when it gave this
            pose, which tells the mapper which ones it has to make up for.
        scan: what its depth says of the floor plan, None where the floor is unknown.
    """

    id: int
    stamp_ns: int
    T_map_cam: Float64Array
    descriptors_i8_ND: Int8Array
    pixels_N2: Float32Array
    points_cam_N3: Float32Array
    camera: Camera
    reference: tuple[int, Float64Array] | None = None
    submap: int = 0
    map_revision: int = 0
    scan: FloorScan | None = None

    @staticmethod
    def from_features(
        id: int, stamp_ns: int, T_map_cam: Float64Array, features: Features, camera: Camera,
        reference: tuple[int, Float64Array] | None = None, submap: int = 0,
        map_revision: int = 0, scan: FloorScan | None = None,
    ) -> Keyframe:
        """Quantize the features that have depth to eight bits a channel."""
        good = np.isfinite(features.points_cam_N3).all(axis=1)
        descriptors = features.descriptors_ND[good]
        largest = np.abs(descriptors).max(axis=1, keepdims=True, initial=1e-6)
        scaled = np.rint(descriptors * (127.0 / largest))
        return Keyframe(
            id, stamp_ns, np.asarray(T_map_cam, np.float64), scaled.astype(np.int8),
            features.pixels_N2[good], features.points_cam_N3[good], camera, reference,
            submap, map_revision, scan)

    def pick(self, which_N: npt.NDArray[np.bool_]) -> Keyframe:
        """Return the keyframe with some of its features, by mask."""
        return replace(
            self, descriptors_i8_ND=self.descriptors_i8_ND[which_N],
            pixels_N2=self.pixels_N2[which_N], points_cam_N3=self.points_cam_N3[which_N])

    def is_less_of(self, known: Keyframe) -> bool:
        """Whether this is a keyframe as it was known, with less of its features or its scan."""
        if known.stamp_ns != self.stamp_ns or len(known.pixels_N2) < len(self.pixels_N2):
            return False
        if len(known.pixels_N2) > len(self.pixels_N2):
            return True
        return known.scan is not None and self.scan is not None and bool(
            np.count_nonzero(self.scan.ranges_mm_K) < np.count_nonzero(known.scan.ranges_mm_K))

    def shared_with(self, pruned: Keyframe) -> npt.NDArray[np.bool_]:
        """Return which features (N,) this keyframe still has after it was pruned."""
        rows = np.ascontiguousarray(self.pixels_N2).view(np.int64)[:, 0]
        return np.isin(rows, np.ascontiguousarray(pruned.pixels_N2).view(np.int64)[:, 0])

    @property
    def median_depth_m(self) -> float:
        """Median depth of its points."""
        return float(np.median(self.points_cam_N3[:, 2]))

    @property
    def descriptors_ND(self) -> Float32Array:
        """(N, D) float32 unit-norm descriptors."""
        values = self.descriptors_i8_ND.astype(np.float32)
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        return np.asarray(values / np.maximum(norms, 1e-6), np.float32)
