"""One gradient step of a scene network: loss, Adam, averaged weights; a CUDA graph on a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ...runtime.device import Device
    from .calibration import Calibration
    from .network import SceneNetwork, Weights
    from .replay import Batch, Replay

#: What a network cannot resolve: added to the standard deviation of measured points, meters.
_FLOOR_M = 0.02
#: Adam; the second moment forgets fast because targets move with the keyframes.
_BETAS, _EPSILON = (0.9, 0.99), 1e-10
#: Weights are averaged over the last part of all steps, up to this many.
_AVERAGED_SHARE, _AVERAGED_STEPS = 0.1, 200.0
_WARM_UP_STEPS = 3


def robust_loss(coords_B3: Tensor, batch: Batch) -> Tensor:
    """Mean robust distance between predictions and targets, weighted by the depth covariance.

    q is the squared Mahalanobis length of the residual (deviation along the ray from depth noise,
    across it from a pixel's width, both with the network's own floor); sqrt(1 + q) - 1 is
    quadratic for small and L1 for large ones, so that a wrong pose or depth pulls with bounded
    force.
    """
    residual = coords_B3 - batch.target_map_B3
    along2 = (residual * batch.ray_map_B3).sum(dim=1).square()
    across2 = (residual.square().sum(dim=1) - along2).clamp(min=0)
    q = (along2 / (batch.depth_sigma_m_B.square() + _FLOOR_M**2)
         + across2 / (batch.side_sigma_m_B.square() + _FLOOR_M**2))
    return (torch.sqrt(1 + q) - 1).mean()


@dataclass(frozen=True)
class StepSettings:
    """How a step learns.

    Attributes:
        learning_rate: of Adam.
        descriptor_noise: length of the random vector added to unit descriptors when there is one
            keyframe, by 1 / sqrt(n) less when there are n: the head must also place what further
            views will give, and few views do not show how descriptors vary.
        generator: source of this noise, on the device.
    """

    learning_rate: float
    descriptor_noise: float
    generator: torch.Generator


class TrainingStep:
    """Weights under training with all that a step needs.

    On a GPU the step is captured once as a CUDA graph and replayed, because its kernels are too
    small to be launched one by one; on a CPU the same function is called.
    """

    def __init__(self, network: SceneNetwork, weights: Weights, replay: Replay,
                 calibration: Calibration, settings: StepSettings, device: Device) -> None:
        """Start with weights, which are copied to the device."""
        self.network = network.to(device)
        self._replay, self._calibration, self._device = replay, calibration, device
        self._settings = settings
        self.weights = {n: w.detach().to(device).clone().requires_grad_()
                        for n, w in weights.items()}
        self.averaged = {n: w.detach().clone() for n, w in self.weights.items()}
        self._optimizer = torch.optim.Adam(
            list(self.weights.values()), lr=settings.learning_rate, betas=_BETAS, eps=_EPSILON,
            fused=True)
        self._count = torch.zeros((), device=device)
        self._places: Tensor | None = None
        self._noise_BD = torch.zeros(0, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captured_room = -1

    def run(self, places_B: Tensor) -> None:
        """Do one step on the replayed features at `places_B`."""
        shape = (len(places_B), len(self.weights["w0"]))
        if self._noise_BD.shape != shape:
            self._noise_BD, self._graph = torch.empty(shape, device=self._device), None
        length = self._settings.descriptor_noise / math.sqrt(max(1, len(self._replay)))
        self._noise_BD.normal_(  # outside of the graph, because it has a seeded generator
            0.0, length / math.sqrt(shape[1]), generator=self._settings.generator)
        if self._device.type == "cuda":
            self._replay_graph(places_B)
        else:
            self._step(places_B)

    def _step(self, places_B: Tensor) -> None:
        batch = self._replay.batch(places_B)
        noisy_BD = torch.nn.functional.normalize(batch.descriptors_BD + self._noise_BD, dim=1)
        coords_B3, hint_B = self.network.forward(self.weights, noisy_BD)
        loss = robust_loss(coords_B3, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        with torch.no_grad():
            error_m_B = (coords_B3 - batch.target_map_B3).norm(dim=1)
            self._replay.note_errors(batch.slot_B, error_m_B)
            self._calibration.observe(hint_B, error_m_B)
            self._count += 1
            gain = (1 / (_AVERAGED_SHARE * self._count)).clamp(1 / _AVERAGED_STEPS, 1.0)
            for name, averaged in self.averaged.items():
                averaged.lerp_(self.weights[name].detach(), gain)

    def _replay_graph(self, places_B: Tensor) -> None:
        """Do the step as a CUDA graph; captured anew when the replay tensors were replaced."""
        if self._graph is None or self._captured_room != self._replay.enlarged:
            self._places = places_B.clone()
            side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            # warm-up on another stream than the default one, as capture demands
            side.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP_STEPS):
                    self._step(self._places)
            torch.cuda.current_stream(self._device).wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._step(self._places)
            self._captured_room = self._replay.enlarged
        assert self._places is not None
        self._places.copy_(places_B)
        self._graph.replay()

    def remapped(self, network: SceneNetwork, change: Callable[[Weights], Weights],
                 change_moments: Callable[[Weights], Weights]) -> TrainingStep:
        """Return the step of a network of another shape that goes on from this one.

        Args:
            network: the other shape.
            change: gives its weights from those of this one.
            change_moments: the same for the optimizer's moments.
        """
        with torch.no_grad():
            made = TrainingStep(network, change(self.weights), self._replay, self._calibration,
                                self._settings, self._device)
            made.averaged = {n: w.detach().clone() for n, w in change(self.averaged).items()}
            made._count = self._count
            states = {n: self._optimizer.state[w] for n, w in self.weights.items()}
            if all(states.values()):
                for key in ("exp_avg", "exp_avg_sq"):
                    moments = change_moments({n: s[key] for n, s in states.items()})
                    for name, weight in made.weights.items():
                        made._optimizer.state[weight][key] = moments[name].clone()
                for name, weight in made.weights.items():
                    made._optimizer.state[weight]["step"] = states[name]["step"].clone()
        return made
