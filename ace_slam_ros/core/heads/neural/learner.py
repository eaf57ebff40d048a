"""Heads that learn by gradient steps on replayed features: `trimlp` and `hommlp`.

The map is trained as ACE-SLAM does (arXiv 2512.14032): the target of a feature is T_map_cam y for
the present pose of its keyframe, so that a corrected trajectory re-trains the map by itself.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...data.predictions import Predictions
from ...data.submaps import MAIN_SUBMAP, SubmapMotion
from ...errors import MapError
from . import TRIMLP
from .calibration import Calibration, sigma_from_table
from .network import (
    HomogeneousNetwork,
    SceneNetwork,
    TriPlaneNetwork,
    Weights,
    as_tensors,
    initial_trunk,
    network_from_tensors,
    remap_moments,
    remap_votes,
)
from .plane_grid import Grid
from .replay import Replay
from .training_step import StepSettings, TrainingStep

if TYPE_CHECKING:
    from ...config.sections import HeadConfig, SensorConfig
    from ...data.keyframe import Keyframe
    from ...geometry.arrays import Float32Array, Float64Array
    from ...runtime.device import Device
    from ..payload import Arrays

#: Places are drawn for so many steps at once.
_BLOCK = 8
#: Keyframes that a correction moved count for new ones, up to so many.
_MOST_OWED = 10


class GradientHead:
    """Frozen network: what tracker and relocalizer use; one hypothesis per feature."""

    takes_submaps = False  # one network, and one grid that would have to reach to all of them

    def __init__(self, head_type: str, arrays: Arrays, device: Device) -> None:
        """Unpack weights.

        Raises:
            MapError: a tensor is missing, or they do not fit together.
        """
        self._type, self._device = head_type, device
        tensors = as_tensors(arrays)
        network, weights = network_from_tensors(head_type == TRIMLP, tensors)
        if "sigma_table" not in tensors:
            raise MapError("head weights lack 'sigma_table': save the map again")
        self._network = network.to(device)
        self._weights = {n: w.to(device) for n, w in weights.items()}
        self._table = tensors["sigma_table"].float().to(device)

    @property
    def head_type(self) -> str:
        """Kind of head."""
        return self._type

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return one hypothesis per descriptor."""
        if descriptors_ND.shape[1] != len(self._weights["w0"]):
            raise MapError("head weights do not fit the encoder's descriptors")
        return _predict(self._network, self._weights, self._table, descriptors_ND, self._device)


@torch.inference_mode()
def _predict(network: SceneNetwork, weights: Weights, table: Tensor, descriptors_ND: Float32Array,
             device: Device) -> Predictions:
    d = torch.from_numpy(np.ascontiguousarray(descriptors_ND)).to(device)
    coords_N3, hint_N = network.forward(weights, d)
    sigma_N = sigma_from_table(table, hint_N)
    return Predictions(coords_N3[:, None].cpu().numpy(), sigma_N[:, None].cpu().numpy())


class GradientLearner:
    """Learns a network by replay, with a budget of time or of steps.

    With an infinite budget `work` does `head.steps_first` steps for the first keyframe and
    `head.steps_per_keyframe` for each further or moved one, the same on every run.
    """

    def __init__(self, head_type: str, config: HeadConfig, sensor: SensorConfig, seed: int,
                 descriptor: int, device: Device) -> None:
        self._type, self._config, self._device = head_type, config, device
        self._descriptor = descriptor
        self._draws = torch.Generator(device).manual_seed(seed)
        self._initial = torch.Generator().manual_seed(seed)
        self._replay = Replay(config.replay_features, sensor, device, self._draws)
        self._calibration = Calibration(device)
        self._step: TrainingStep | None = None
        self._owed = 0

    @property
    def head_type(self) -> str:
        """Kind of head."""
        return self._type

    @property
    def wants_work(self) -> bool:
        """Always when something was observed: more steps keep improving the map."""
        return len(self._replay) > 0

    def observe(
        self, keyframe: Keyframe, T_map_cam: Float64Array, submap: int = MAIN_SUBMAP
    ) -> int:
        """Take a keyframe for replay; the network grows when its points are out of reach."""
        if len(keyframe.points_cam_N3) == 0:
            return 0
        number = self._replay.add(keyframe, T_map_cam)
        if self._step is None:
            self._begin(keyframe.id)
            self._owed += self._config.steps_first
        else:
            self._reach([keyframe.id])
            self._owed += self._config.steps_per_keyframe
        return number

    def work(self, budget_s: float) -> bool:
        """Do gradient steps until the budget is spent, or the owed ones when it is infinite."""
        if self._step is None or len(self._replay) == 0 or budget_s <= 0:
            return False
        if math.isinf(budget_s):
            owed, self._owed = self._owed, 0
            return self.steps(owed) > 0
        end = time.perf_counter() + budget_s
        while True:
            self._owed = max(0, self._owed - self.steps(_BLOCK, end))
            if time.perf_counter() >= end:
                return True

    def steps(self, count: int, end_s: float = math.inf) -> int:
        """Do `count` gradient steps, fewer when `time.perf_counter` reaches `end_s` before."""
        assert self._step is not None
        done = 0
        while done < count:
            for places_B in self._draw(min(_BLOCK, count - done)):
                self._step.run(places_B)
                done += 1
                if time.perf_counter() >= end_s:
                    return done
        return done

    def _draw(self, steps: int) -> Tensor:
        """Return (steps, B) places to replay."""
        config = self._config
        places = self._replay.draw(steps * config.batch_features, config.newest_keyframes,
                                   config.newest_share, config.error_weight)
        return places.view(steps, -1)

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Predict from the averaged weights."""
        if self._step is None:
            return Predictions(np.zeros((len(descriptors_ND), 1, 3), np.float32),
                               np.full((len(descriptors_ND), 1), np.inf, np.float32))
        return _predict(self._step.network, self._step.averaged, self._calibration.table(),
                        descriptors_ND, self._device)

    def retarget(self, poses: dict[int, Float64Array]) -> None:
        """Give keyframes other poses; later steps learn the moved targets."""
        self._replay.move(poses)
        if poses and self._step is not None:
            self._reach(list(poses))
            self._owed += min(len(poses), _MOST_OWED) * self._config.steps_per_keyframe

    def prune(self, keyframe: Keyframe, T_map_cam: Float64Array,
              kept_N: npt.NDArray[np.bool_]) -> None:
        """Replay what is left of a keyframe: later steps unlearn the rest."""
        if keyframe.id in self._replay:
            self._replay.add(keyframe, T_map_cam)
            self._owed += self._config.steps_per_keyframe

    def move_submap(
        self, number: int, motion: SubmapMotion, poses: dict[int, Float64Array]
    ) -> None:
        """Give the keyframes of a submap their moved poses; later steps learn them."""
        self.retarget(poses)

    def forget(self, identifier: int) -> None:
        """Replay a keyframe no more."""
        self._replay.remove(identifier)

    def export(self) -> Arrays:
        """Return the averaged weights in half precision, shape constants and sigma table."""
        if self._step is None:
            raise MapError("the head has learned nothing yet: show it a keyframe first")
        halves = {n: w.detach().half() for n, w in self._step.averaged.items()}
        tensors = halves | self._step.network.tensors() | {
            "sigma_table": self._calibration.table()}
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def restore(self, arrays: Arrays) -> None:
        """Go on from exported weights; nothing is owed for the keyframes observed so far.

        Raises:
            MapError: the weights do not fit this learner.
        """
        tensors = as_tensors(arrays)
        network, weights = network_from_tensors(self._type == TRIMLP, tensors)
        if len(weights["w0"]) != self._descriptor or "sigma_table" not in tensors:
            raise MapError("head weights do not fit the encoder's descriptors")
        self._step = self._new_step(network, weights)
        self._calibration.restore(tensors["sigma_table"])
        self._owed = 0

    def _new_step(self, network: SceneNetwork, weights: Weights) -> TrainingStep:
        settings = StepSettings(
            self._config.learning_rate, self._config.descriptor_noise, self._draws)
        return TrainingStep(
            network, weights, self._replay, self._calibration, settings, self._device)

    def _begin(self, identifier: int) -> None:
        """Make the network around the first keyframe's points."""
        config = self._config
        low, high = self._replay.bounds([identifier])
        if config.extent_m > 0:
            middle = (low + high) / 2
            low, high = middle - config.extent_m / 2, middle + config.extent_m / 2
        margin = config.extent_margin * (high - low)
        network: SceneNetwork
        if self._type == TRIMLP:
            grid = Grid.around(low - margin, high + margin, config.grid_cells)
            network, outputs = TriPlaneNetwork.on(grid, self._device), grid.votes
        else:
            network, outputs = HomogeneousNetwork.around(low, high), 4
        self._step = self._new_step(network, initial_trunk(
            self._descriptor, config.hidden_width, config.hidden_layers, outputs, self._initial))

    def _reach(self, identifiers: list[int]) -> None:
        """Let the grid grow until the points of these keyframes can be predicted."""
        assert self._step is not None
        network = self._step.network
        if not isinstance(network, TriPlaneNetwork):
            return
        low, high = self._replay.bounds(identifiers)
        grown = network.grid.covering(low, high, self._config.grid_votes)
        if grown is None:
            return
        grid, rows = grown
        seen = self._replay.batch(self._draw(1)[0]).descriptors_BD
        self._step = self._step.remapped(
            TriPlaneNetwork.on(grid, self._device),
            partial(remap_votes, rows=rows, descriptors_MD=seen),
            partial(remap_moments, rows=rows))
