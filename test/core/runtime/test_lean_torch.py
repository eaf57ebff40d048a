"""torch without its compiler's rules computes the same, and gets them when they are asked for."""

import subprocess
import sys

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


def test_the_rules_are_loaded_when_they_are_asked_for():
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
