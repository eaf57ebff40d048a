"""Work on tensors that stay where they are, recorded as a CUDA graph and replayed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

if TYPE_CHECKING:
    from ...runtime.device import Device

log = logging.getLogger(__name__)
Result = TypeVar("Result")
#: Runs before the recording: libraries choose their kernels and take their memory in them.
_WARM_UPS = 3


class Replayed(Generic[Result]):
    """A function without arguments, which reads and writes the same tensors at every call.

    On a GPU its kernels are recorded at the first call and started all at once from then on; the
    result lies in the same tensors every time. Where it cannot be recorded, and on a CPU, it is
    called.

    Args:
        function: the work.
        device: of its tensors.
        record: whether to record it at all.

    Attributes:
        recorded: whether it is replayed.
    """

    def __init__(
        self, function: Callable[[], Result], device: Device, record: bool = True
    ) -> None:
        self._function, self._device = function, device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Result | None = None
        self._refused = not record or device.type != "cuda"

    @property
    def recorded(self) -> bool:
        """Whether it is replayed."""
        return self._graph is not None

    def __call__(self) -> Result:
        """Do the work; on a GPU it may not be done yet when this returns."""
        if self._graph is None and not self._refused:
            self._record()
        if self._graph is None or self._result is None:
            return self._function()
        self._graph.replay()
        return self._result

    def _record(self) -> None:
        with torch.cuda.device(self._device):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UPS):
                    self._function()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            try:
                # other threads may go on using the GPU meanwhile
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    self._result = self._function()
                self._graph = graph
            except RuntimeError as error:
                self._refused = True
                torch.cuda.synchronize()
                log.warning("no CUDA graph, kernels are started one by one: %s",
                            (str(error) or "?").splitlines()[0])
