"""torch without its compiler's rules computes the same, and gets them when they are needed."""

import importlib.metadata
import subprocess
import sys

import pytest

from ace_slam_ros.core.runtime.lean_torch import TRIED

CODE = """
import sys
from ace_slam_ros.core.runtime.lean_torch import load_torch_lean
load_torch_lean()
import torch
rules = sys.modules["torch._meta_registrations"]
assert "meta_index_Tensor" not in vars(rules), "it was loaded all the same"
torch.manual_seed(0)
layer = torch.nn.Conv2d(3, 4, 3)
loss = layer(torch.ones(1, 3, 8, 8)).square().mean()
loss.backward()
assert torch.isfinite(layer.weight.grad).all() and torch.linalg.svdvals(torch.eye(3)).sum() == 3
assert "meta_index_Tensor" not in vars(rules)
from torch._meta_registrations import meta_index_Tensor
assert callable(meta_index_Tensor) and torch._meta_registrations is rules
assert (torch.empty(4, device="meta") + 1).shape == (4,)
load_torch_lean()
assert sys.modules["torch._meta_registrations"] is rules, "too late changes nothing"
"""


#: What torch's compiler does: without the rules, its modules import each other in a circle.
COMPILES = """
import sys
from ace_slam_ros.core.runtime.lean_torch import load_torch_lean
load_torch_lean()
import torch
layer = torch.nn.Conv2d(3, 4, 3)
twin, image = torch.compile(layer, backend="aot_eager"), torch.ones(1, 3, 8, 8)
assert torch.equal(twin(image), layer(image))
assert layer.to("meta")(image.to("meta")).shape == (1, 4, 6, 6)
assert "meta_index_Tensor" in vars(sys.modules["torch._meta_registrations"])
"""
#: A torch of another version is not touched.
OTHER = """
import sys
from ace_slam_ros.core.runtime.lean_torch import load_torch_lean
sys.path.insert(0, sys.argv[1])
before = list(sys.meta_path)
load_torch_lean()
assert "torch._meta_registrations" not in sys.modules and sys.meta_path == before
import torch
assert torch.rules == "loaded"
"""


def run(code, *arguments):
    found = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True,
                           text=True)
    assert found.returncode == 0, found.stderr


def is_tried():
    return importlib.metadata.version("torch").startswith(TRIED)


def test_the_pinned_torch_was_tried(repository):
    """A new pin needs these tests to be run with it, and its version in `TRIED`."""
    pins = (repository / "requirements" / "pins.txt").read_text().split()
    assert any(pin.startswith(tuple(f"torch=={version}" for version in TRIED)) for pin in pins)


@pytest.mark.slow
def test_torch_compiles_as_always():
    run(COMPILES)


@pytest.mark.parametrize("version", ["__version__ = '2.14.0'", "__version__ = '1.9'", "", None])
def test_another_torch_loads_as_its_makers_meant_it(tmp_path, version):
    torch = tmp_path / "torch"
    torch.mkdir()
    (torch / "__init__.py").write_text("from ._meta_registrations import rules")
    (torch / "_meta_registrations.py").write_text("rules = 'loaded'")
    if version is not None:
        (torch / "version.py").write_text(f"from typing import Any\n\n{version}\n")
    run(OTHER, str(tmp_path))


@pytest.mark.skipif(not is_tried(), reason="torch of another version is not touched")
def test_the_rules_are_loaded_when_they_are_asked_for():
    run(CODE)
