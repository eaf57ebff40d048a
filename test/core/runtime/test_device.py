"""Devices are told without torch where there can be no GPU; threads reach what loads later."""

import subprocess
import sys
from importlib import metadata

import pytest
import torch

from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.core.runtime import device
from ace_slam_ros.core.runtime.device import Device, choose_device


@pytest.fixture(params=[True, False], ids=["gpu", "no_gpu"])
def gpu(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    monkeypatch.setattr(device, "_may_have_gpu", lambda: True)
    return request.param


def test_a_gpu_is_taken_where_torch_sees_one(gpu):
    assert choose_device("auto") == ("cuda" if gpu else "cpu")
    assert choose_device("cpu") == "cpu"
    for name in ("cuda", "cuda:1"):
        if gpu:
            assert choose_device(name) == name and choose_device(name).type == "cuda"
        else:
            with pytest.raises(ConfigError, match=f"device='{name}': .* sees no GPU; use device"):
                choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cudax", "", "cuda:-1", "cuda:0:1"])
def test_other_names_are_refused(gpu, name):
    with pytest.raises(ConfigError, match="choose auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_torch_takes_it_as_a_device():
    assert torch.zeros(1, device=Device("cpu")).device == torch.device(Device("cpu"))
    assert torch.device(Device("cuda:2")).index == 2


@pytest.mark.parametrize(("build", "driver", "asked"), [
    ("2.5.0+cpu", True, False), ("2.5.0+cu124", False, False), ("2.5.0+cu124", True, True),
    ("2.5.0", True, True), ("2.5.0+rocm6.2", False, True), (None, True, False)])
def test_torch_is_asked_only_where_it_may_say_yes(monkeypatch, build, driver, asked):
    def version(name):
        if build is None:
            raise metadata.PackageNotFoundError(name)
        return build

    def load(name):
        if not driver:
            raise OSError(name)

    monkeypatch.setattr(device.metadata, "version", version)
    monkeypatch.setattr(device.ctypes, "CDLL", load)
    questions = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: questions.append(1) or True)
    assert choose_device("auto") == ("cuda" if asked else "cpu")
    assert bool(questions) == asked


def test_threads_are_those_of_a_torch_that_is_imported_later():
    code = ("from ace_slam_ros.core.runtime.device import set_threads, threads\n"
            "set_threads(1); assert threads() == 1\n"
            "import sys; assert 'torch' not in sys.modules\n"
            "import torch; assert torch.get_num_threads() == 1\n"
            "set_threads(2); assert torch.get_num_threads() == threads() == 2")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
