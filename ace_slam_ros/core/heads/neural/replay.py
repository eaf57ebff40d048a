"""What keyframes showed, for replay: features in camera frames, drawn by coverage and error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from ...config.sections import SensorConfig
    from ...data.keyframe import Keyframe
    from ...geometry.arrays import Float64Array

#: Share of agreeing features of a keyframe: how fast it follows, and how near agreement is.
_AGREE_GAIN, _AGREE_M = 0.1, 0.05


@dataclass(frozen=True)
class Batch:
    """B features to learn from.

    Attributes:
        slot_B: (B,) int64 where the keyframe of each lies.
        descriptors_BD: (B, D) float32 unit norm.
        target_map_B3: (B, 3) float32 T_map_cam * y for the present pose of the keyframe, meters.
        ray_map_B3: (B, 3) float32 unit viewing ray in the map frame.
        depth_sigma_m_B, side_sigma_m_B: (B,) float32 standard deviation of the point along the
            ray (depth noise) and across it (a pixel's width).
    """

    slot_B: Tensor
    descriptors_BD: Tensor
    target_map_B3: Tensor
    ray_map_B3: Tensor
    depth_sigma_m_B: Tensor
    side_sigma_m_B: Tensor


class Replay:
    """A bounded share of each keyframe's features, with the pose the keyframe has now.

    Memory: (D + 17) bytes for each of `features` places of a keyframe; room is doubled when it is
    needed, so that forgetting keyframes bounds it.
    """

    def __init__(self, features: int, sensor: SensorConfig, device: str,
                 generator: torch.Generator) -> None:
        """Hold at most `features` of each keyframe; `generator` is the source of randomness.

        `enlarged` counts how often the tensors were replaced by larger ones.
        """
        self._features, self._sensor, self._device = features, sensor, device
        self._generator = generator
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self.enlarged = 0

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._slots

    def add(self, keyframe: Keyframe, T_map_cam: Float64Array) -> int:
        """Store a keyframe's features, a random choice of them when there are too many.

        They replace those of a keyframe of the same id.
        """
        count = len(keyframe.points_cam_N3)
        chosen = torch.randperm(count, generator=self._generator,
                                device=self._generator.device)[: self._features].cpu().numpy()
        slot = self._take_slot(keyframe.id, keyframe.descriptors_i8_ND.shape[1])
        number = len(chosen)
        d_nD = torch.from_numpy(np.ascontiguousarray(keyframe.descriptors_i8_ND[chosen]))
        y_n3 = keyframe.points_cam_N3[chosen].astype(np.float32)
        self._descriptors_KMD[slot, :number] = d_nD.to(self._device)
        self._scale_KM[slot, :number] = (1.0 / d_nD.float().norm(dim=1).clamp(min=1e-6)).to(
            self._device)
        self._points_KM3[slot, :number] = torch.from_numpy(y_n3).to(self._device)
        self._count_K[slot] = number
        self._side_K[slot] = self._sensor.pixel_sigma / float(keyframe.camera.fx)
        self._agree_K[slot] = 0.0
        self.move({keyframe.id: T_map_cam})
        return number

    def move(self, poses: dict[int, Float64Array]) -> None:
        """Give keyframes (id -> T_map_cam) other poses; targets follow."""
        slots = torch.tensor([self._slots[i] for i in poses], dtype=torch.int64)
        if len(slots):
            T_n34 = torch.from_numpy(np.stack([T[:3] for T in poses.values()]).astype(np.float32))
            self._pose_K34[slots.to(self._device)] = T_n34.to(self._device)

    def remove(self, identifier: int) -> None:
        """Free the place of a keyframe; an unknown one is ignored."""
        slot = self._slots.pop(identifier, None)
        if slot is not None:
            self._count_K[slot] = 0
            self._free.append(slot)

    def bounds(self, identifiers: list[int]) -> tuple[Float64Array, Float64Array]:
        """Return the corners of the map-frame box around the points of keyframes, meters."""
        slots = torch.tensor([self._slots[i] for i in identifiers], device=self._device)
        pose, y = self._pose_K34[slots], self._points_KM3[slots]
        x = torch.einsum("kij,kmj->kmi", pose[:, :, :3], y) + pose[:, None, :, 3]
        places = torch.arange(self._features, device=self._device)
        x = x[places < self._count_K[slots][:, None]].double()
        return x.amin(dim=0).cpu().numpy(), x.amax(dim=0).cpu().numpy()

    def draw(self, count: int, newest: int, newest_share: float, alpha: float) -> Tensor:
        """Return (count,) flat places of features; keyframes are drawn with replacement.

        A keyframe's weight is 1 / |P| + alpha (1 - lambda) as ACE-SLAM samples its window, lambda
        being the share of its replayed features that agree with the head; a share of the draws
        goes to the newest keyframes.
        """
        held = self._count_K > 0
        weight_K = held * (1.0 / len(self) + alpha * (1.0 - self._agree_K))
        weight_K = weight_K / weight_K.sum()
        recent = torch.zeros_like(weight_K)
        slots = list(self._slots.values())[-newest:]
        recent[torch.tensor(slots, device=self._device)] = 1.0 / len(slots)
        weight_K = (1 - newest_share) * weight_K + newest_share * recent
        slot = torch.multinomial(weight_K, count, replacement=True, generator=self._generator)
        place = torch.rand(count, generator=self._generator, device=self._device)
        # the product may round up to the count itself
        inside = torch.minimum((place * self._count_K[slot]).long(), self._count_K[slot] - 1)
        return slot * self._features + inside

    def batch(self, places_B: Tensor) -> Batch:
        """Return the features at flat places; all of it on the device, no synchronization."""
        slot = places_B // self._features
        y = self._points_KM3.view(-1, 3)[places_B]
        d = self._descriptors_KMD.view(-1, self._descriptors_KMD.shape[2])[places_B].float()
        d = d * self._scale_KM.view(-1)[places_B][:, None]
        pose = self._pose_K34[slot]
        moved = torch.einsum("bij,bj->bi", pose[:, :, :3], y)
        ray = moved / moved.norm(dim=1, keepdim=True).clamp(min=1e-6)
        side = self._side_K[slot] * y[:, 2]
        return Batch(slot, d, moved + pose[:, :, 3], ray,
                     self._sensor.depth_sigma_m(y[:, 2]), side)

    def note_errors(self, slot_B: Tensor, error_m_B: Tensor) -> None:
        """Update each keyframe's share of agreeing features from the errors of a batch."""
        seen = torch.zeros_like(self._agree_K).index_add_(0, slot_B, torch.ones_like(error_m_B))
        good = torch.zeros_like(self._agree_K).index_add_(
            0, slot_B, (error_m_B < _AGREE_M).float())
        gain = 1.0 - (1.0 - _AGREE_GAIN) ** (seen / 16)
        self._agree_K += gain * (good / seen.clamp(min=1) - self._agree_K)

    def _take_slot(self, identifier: int, dimension: int) -> int:
        if identifier in self._slots:
            return self._slots[identifier]
        if not self._free:
            self._grow(dimension)
        self._slots[identifier] = slot = self._free.pop()
        return slot

    def _grow(self, dimension: int) -> None:
        """Double the room."""
        held = len(self._slots)
        room, M = max(16, 2 * held), self._features

        def larger(name: str, dtype: torch.dtype, *shape: int) -> None:
            new = torch.zeros(room, *shape, dtype=dtype, device=self._device)
            if held:
                new[:held] = getattr(self, name)
            setattr(self, name, new)

        larger("_descriptors_KMD", torch.int8, M, dimension)
        larger("_scale_KM", torch.float32, M)
        larger("_points_KM3", torch.float32, M, 3)
        larger("_count_K", torch.int64)
        larger("_pose_K34", torch.float32, 3, 4)
        larger("_side_K", torch.float32)
        larger("_agree_K", torch.float32)
        self._free = list(range(room - 1, held - 1, -1))
        self.enlarged += 1

    _descriptors_KMD: Tensor
    _scale_KM: Tensor
    _points_KM3: Tensor
    _count_K: Tensor
    _pose_K34: Tensor
    _side_K: Tensor
    _agree_K: Tensor
