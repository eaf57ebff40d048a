"""What a CUDA graph could not record of a localizer's work, found where there is no GPU.

Tensors of the device "meta", which have shapes but no values, go through the whole work: shapes
that depend on values and questions for a value are errors there. Tensors of the CPU show where
numbers of Python become tensors.
"""

import copy

import torch
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

#: Numbers of Python that become a tensor; on a GPU they are copied from the CPU.
_FROM_PYTHON = "aten.lift_fresh"


class Operations(TorchDispatchMode):
    """Lists what is done on a device.

    Attributes:
        names: of all operations.
        elsewhere: those that take or give tensors of another device, or numbers of Python.
    """

    def __init__(self, device):
        super().__init__()
        self._device = device
        self.names, self.elsewhere = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.names.append(str(function))
        if str(function).startswith(_FROM_PYTHON) or any(
                isinstance(leaf, torch.Tensor) and leaf.device.type != self._device
                for leaf in tree_leaves((args, kwargs, result))):
            self.elsewhere.append(str(function))
        return result


class _ElsewhereNetwork:
    """A network whose weights are taken from elsewhere."""

    def __init__(self, network, parameters):
        self._network, self._parameters = network, parameters

    def steps(self, images):
        yield from ()
        return functional_call(self._network, self._parameters, (images,))


def operations_of(localizer):
    """Localize a frame with a `DeviceLocalizer`: without values, then with them on the CPU."""
    without, on_cpu = Operations("meta"), Operations("cpu")
    with torch.inference_mode():
        there = _moved(localizer)
        with without:
            there._run_frame()
        with on_cpu:
            localizer._run_frame()
    return without, on_cpu


def _moved(localizer):
    """A copy of the localizer whose tensors have no values."""
    there = copy.copy(localizer)
    for name, value in vars(localizer).items():
        if isinstance(value, torch.Tensor):
            setattr(there, name, _empty(value))
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            setattr(there, name, type(value)(*(_empty(part) for part in value)))
    there._encoder = copy.copy(localizer._encoder)
    network = localizer._encoder._network
    there._encoder._network = _ElsewhereNetwork(
        network, {name: _empty(value) for name, value in network.state_dict().items()})
    there._codebook = _emptied(localizer._codebook)
    return there


def _emptied(codebook):
    """A copy of a codebook whose tensors have no values."""
    there = copy.copy(codebook)
    for name, value in vars(codebook).items():
        if isinstance(value, torch.Tensor):
            setattr(there, name, _empty(value))
    return there


def _empty(like):
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
