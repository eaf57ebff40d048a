"""Describes and localizes frames whole on the device; only the pose comes back."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ...data.features import Features
from ...data.poses import PoseEstimate
from ...data.submaps import MAIN_SUBMAP
from ...encoders.cpu.cell_encoder import CellEncoder
from ...encoders.networks.network import NetworkEncoder
from ...encoders.torch_codebook import TorchCodebook
from ...heads.affine.expert_index import expert_inputs
from ...heads.affine.head import AffineHead
from ...heads.affine.padded import pad_experts
from .description import Described, describe
from .replay import Replayed
from .solution import Solved, into_slots, quaternion_table, random_count, solve

if TYPE_CHECKING:
    from ...config.sections import SlamConfig
    from ...data.frame import Frame
    from ...encoders.base import Encoder
    from ...geometry.arrays import Float32Array
    from ...heads.affine.padded import PaddedExperts
    from ...heads.base import SceneHead

#: Hypotheses that a feature may have at most; all pairs of those of two features are tested.
_MOST_SLOTS = 128


class DeviceFeatures(Features):
    """Features on the device, which come to the CPU when they are asked for there."""

    def __init__(self, described: Described) -> None:
        object.__setattr__(self, "described", Described(*(part.clone() for part in described)))

    described: Described

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return int(self.described.valid_N.sum())

    @cached_property
    def descriptors_ND(self) -> Float32Array:
        """(N, D) float32, unit norm."""
        return self._fetch(self.described.descriptors_ND)

    @cached_property
    def pixels_N2(self) -> Float32Array:
        """(N, 2) float32 pixels."""
        return self._fetch(self.described.pixels_N2)

    @cached_property
    def points_cam_N3(self) -> Float32Array:
        """(N, 3) float32 camera-frame points in meters."""
        return self._fetch(self.described.points_N3)

    def share(self, share: float) -> Features:
        """Return all of them: on the device fewer take no less time."""
        return self

    def _fetch(self, part: Tensor) -> Float32Array:
        found: Float32Array = part[: self._count].cpu().numpy()
        return found


def network_of(encoder: Encoder, config: SlamConfig) -> NetworkEncoder | None:
    """Return what describes all cells on a device; None where encoder or features allow it not."""
    if config.features.mode != "dense":
        return None
    if isinstance(encoder, CellEncoder):
        return encoder.whole
    return encoder if isinstance(encoder, NetworkEncoder) else None


class DeviceLocalizer:
    """Encoder, affine head and solver on one device, for frames of one size at a time.

    A frame is described and localized in one go, in the submap asked for last; `localize` does the
    second part again only for another submap, another head, or features of an earlier frame.

    Args:
        config: parameters.
        encoder: on the device.
        record: whether work is replayed as CUDA graphs, where there can be any.
    """

    def __init__(self, config: SlamConfig, encoder: NetworkEncoder, record: bool = True) -> None:
        self._config, self._encoder, self._device = config, encoder, encoder.device
        self._codebook = TorchCodebook(encoder.codebook, self._device)
        self._record = record
        self._turns_16_10 = quaternion_table(self._device)
        self._submap = torch.zeros((), dtype=torch.int64, device=self._device)
        self._camera_4 = torch.zeros(4, dtype=torch.float64, device=self._device)
        self._head: SceneHead | None = None
        self._experts: PaddedExperts | None = None
        self._asked = MAIN_SUBMAP
        self._take_size(0, 0)
        self.clear()

    @property
    def recorded(self) -> bool:
        """Whether frames are replayed as one CUDA graph."""
        return self._frame.recorded

    def clear(self) -> None:
        """Forget the map and begin the random numbers anew."""
        self._generator = torch.Generator(self._device).manual_seed(self._config.seed)
        self._newest: DeviceFeatures | None = None
        self._solved: Tensor | None = None
        self.use_head(None)

    @torch.inference_mode()
    def use_head(self, head: SceneHead | None) -> bool:
        """Take a head; returns whether it can be asked here.

        Tables whose shapes have not changed keep their place, so that graphs stay.
        """
        if head is not self._head:
            self._head, self._solved = head, None
            new = (pad_experts(head.experts, self._device)
                   if isinstance(head, AffineHead) else None)
            if new is not None and self._slots(new) > _MOST_SLOTS:
                new = None
            old = self._experts
            if new is not None and old is not None and all(
                    a.shape == b.shape for a, b in zip(new, old, strict=True)):
                for there, table in zip(old, new, strict=True):
                    there.copy_(table)
            else:
                self._experts = new
                self._renew_graphs()
        return self._experts is not None

    def describe(self, frame: Frame) -> DeviceFeatures | None:
        """Describe a frame, and localize it if there is a head; None: it is not for the device.

        These are frames without depth, or with an odd side.
        """
        if not self.upload(frame):
            return None
        self.work()
        self._newest = DeviceFeatures(self._described)
        return self._newest

    @torch.inference_mode()
    def upload(self, frame: Frame) -> bool:
        """Copy a frame to the device, if it can be described there; returns whether it can."""
        height, width = frame.gray.shape
        if frame.depth_m is None or height % 2 or width % 2:
            return False
        if (height, width) != self._gray_HW.shape:
            self._take_size(height, width)
        camera = frame.camera
        self._gray_HW.copy_(torch.from_numpy(np.require(frame.gray, np.uint8, ["C", "W"])))
        self._depth_HW.copy_(torch.from_numpy(np.require(frame.depth_m, np.float32, ["C", "W"])))
        self._camera_4.copy_(torch.from_numpy(camera.pinhole_4))
        return True

    @torch.inference_mode()
    def work(self) -> None:
        """Do all that is to be done with the frame that was uploaded; nothing is waited for."""
        self._newest = None
        if self._experts is None:
            self._description()
        else:
            self._random_R.uniform_(generator=self._generator)
            self._solved = self._frame()

    def fits(self, features: Features) -> TypeGuard[DeviceFeatures]:
        """Whether features are on the device, of a frame with as many places for them as now."""
        return (isinstance(features, DeviceFeatures)
                and features.described.valid_N.shape == self._described.valid_N.shape)

    @torch.inference_mode()
    def localize(self, features: DeviceFeatures, submap: int) -> PoseEstimate | None:
        """Solve the pose in a submap, with the head in use.

        Args:
            features: such as `fits` accepts.
            submap: its number.

        Returns:
            The pose, or None when too few features agree.
        """
        if self._solved is None or features is not self._newest or submap != self._asked:
            self._solved = self._solve_again(features, submap)
        solved = Solved.of(self._solved)
        if not solved.found:
            return None
        ratio = float(solved.inliers_N.sum()) / max(len(solved.inliers_N), 1)
        return PoseEstimate(solved.T_44, solved.covariance_66, solved.inliers_N, ratio,
                            solved.confidence, solved.spread, submap=submap)

    def _solve_again(self, features: DeviceFeatures, submap: int) -> Tensor:
        """Solve for features that were described earlier."""
        if features is not self._newest:
            for there, part in zip(self._described, features.described, strict=True):
                there.copy_(part)
        self._newest, self._asked = features, submap
        self._submap.fill_(submap)
        self._random_R.uniform_(generator=self._generator)
        return self._solution()

    def _take_size(self, height: int, width: int) -> None:
        """Make room for frames of a size."""
        device, stride = self._device, self._encoder.stride
        count = min(self._config.features.count, (height // stride) * (width // stride))
        self._gray_HW = torch.zeros(height, width, dtype=torch.uint8, device=device)
        self._depth_HW = torch.zeros(height, width, device=device)
        self._described = Described(
            torch.zeros(count, self._encoder.dimension, device=device),
            torch.zeros(count, 2, device=device), torch.zeros(count, 3, device=device),
            torch.zeros(count, dtype=torch.bool, device=device))
        self._renew_graphs()

    def _renew_graphs(self) -> None:
        """Forget what was recorded: tensors have moved."""
        if self._experts is not None:
            self._random_R = torch.zeros(random_count(
                len(self._described.valid_N), self._slots(self._experts),
                self._config.solver.hypotheses), device=self._device)
        self._description = Replayed(self._run_description, self._device, self._record)
        self._solution = Replayed(self._run_solution, self._device, self._record)
        self._frame = Replayed(self._run_frame, self._device, self._record)

    def _slots(self, experts: PaddedExperts) -> int:
        """Hypotheses that a feature may have."""
        return experts.expert_KS.shape[1] * self._config.head.neighbors

    def _run_description(self) -> None:
        found = describe(self._gray_HW, self._depth_HW, self._camera_4, self._encoder,
                         self._config.features.count, self._config.sensor)
        for there, part in zip(self._described, found, strict=True):
            there.copy_(part)

    def _run_solution(self) -> Tensor:
        assert self._experts is not None
        codebook, descriptors_ND = self._codebook, self._described.descriptors_ND
        words_Nk = codebook.nearest_at_once(descriptors_ND, self._config.head.neighbors)
        z_NkP = expert_inputs(descriptors_ND, words_Nk, codebook, self._experts.inputs)
        slots = into_slots(self._described, self._experts.predict(words_Nk, z_NkP), self._submap,
                           self._config.solver, self._config.sensor)
        return solve(slots, self._described.valid_N, self._random_R, self._turns_16_10,
                     self._config.solver, self._config.sensor)

    def _run_frame(self) -> Tensor:
        self._run_description()
        return self._run_solution()
