"""Descriptors of chosen cells are those of the grid, whatever computes them."""

import logging
import os
import sys
import threading

import numpy as np
import pytest
import torch
from helpers.encoders import CPU
from helpers.pictures import picture

from ace_slam_ros.core.config.sections import EncoderConfig
from ace_slam_ros.core.encoders.cpu import openvino_library, runtimes
from ace_slam_ros.core.encoders.cpu.cell_network import _add_context, add_context_twin
from ace_slam_ros.core.encoders.cpu.torch_layers import TorchLayers
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.networks.weights import load_network
from ace_slam_ros.core.errors import EncoderError

needs_openvino = pytest.mark.skipif(
    bool(openvino_library.why_not()), reason=openvino_library.why_not())
RUNTIMES = ["torch", pytest.param("openvino", marks=needs_openvino)]


def some_cells(size, count=300, seed=0):
    total = (size[0] // 8) * (size[1] // 8)
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    return request.param


@pytest.mark.parametrize("size", [(480, 640), (240, 320), (101, 139), (40, 30)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cells_are_those_of_the_grid(runtime, precision, size):
    encoder = load_encoder(EncoderConfig(precision=precision, runtime=runtime), CPU)
    plain = load_encoder(EncoderConfig(precision="fp32", runtime="torch"), CPU)
    image, cells = picture(4, size), some_cells(size)
    found = encoder.describe_cells(image, cells)
    expected = plain.describe(image).reshape(-1, plain.dimension).numpy()[cells]
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    cosine = (found * expected).sum(axis=1)
    assert cosine.min() > (0.999999 if precision == "fp32" else 0.999)
    assert np.array_equal(found, encoder.describe_cells(image, cells))  # bit for bit
    assert encoder.describe_cells(image, cells[:0]).shape == (0, encoder.dimension)
    assert encoder.hash == plain.hash


def test_where_cells_are_picked_from_the_grid_they_are_equal(encoder):
    image, cells = picture(5), some_cells((240, 320))
    picked = super(type(encoder), encoder).describe_cells_in_steps
    with pytest.raises(StopIteration) as end:
        steps = picked(image, cells)
        while True:
            next(steps)
    assert np.array_equal(
        end.value.value, encoder.describe(image).reshape(-1, encoder.dimension).numpy()[cells])


def test_works_that_overlap_do_not_mix(runtime):
    encoder = load_encoder(EncoderConfig(runtime=runtime), CPU)
    images = [picture(seed) for seed in range(4)]
    cells = some_cells((240, 320))
    expected = [encoder.describe_cells(image, cells) for image in images]
    works = [encoder.describe_cells_in_steps(image, cells) for image in images]
    found = {}
    while len(found) < len(works):
        for k, work in enumerate(works):
            if k not in found:
                try:
                    next(work)
                except StopIteration as end:
                    found[k] = end.value
    assert all(np.array_equal(found[k], expected[k]) for k in found)
    from_threads = [None] * 4

    def describe(k):
        for _ in range(5):
            from_threads[k] = encoder.describe_cells(images[k], cells)

    threads = [threading.Thread(target=describe, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(from_threads, expected, strict=True))


def test_context_between_coarse_cells_is_that_of_bilinear_resizing():
    rng = np.random.default_rng(0)
    fine = rng.standard_normal((8, 12, 64)).astype(np.float32)
    middle = rng.standard_normal((4, 6, 64)).astype(np.float32)
    rows, columns = (v.ravel() for v in np.mgrid[:8, :12])
    larger = torch.nn.functional.interpolate(
        torch.from_numpy(middle).permute(2, 0, 1)[None], size=(8, 12), mode="bilinear",
        align_corners=False)[0].permute(1, 2, 0).numpy()
    for add in (_add_context, add_context_twin):
        out = np.empty((96, 64), np.float32)
        add(np.pad(fine, ((1, 1), (1, 1), (0, 0))), middle, rows, columns, out)
        assert np.allclose(out, (fine + larger).reshape(96, 64), atol=1e-5)


def test_the_runtime_is_chosen_and_said(monkeypatch, caplog):
    state = load_network(EncoderConfig())[0].state_dict()
    weights = {name: tensor.numpy() for name, tensor in state.items()}
    monkeypatch.setattr(runtimes, "why_not", lambda: "it is not here")
    with pytest.raises(EncoderError, match="it is not here: pip install"):
        runtimes.choose_layers(weights, "fp32", "openvino")
    with caplog.at_level(logging.INFO):
        assert isinstance(runtimes.choose_layers(weights, "fp32", "auto"), TorchLayers)
    assert len(caplog.records) == 1 and "it is not here" in caplog.text
    encoder = load_encoder(EncoderConfig(runtime="torch", precision="fp32"), CPU)
    assert encoder.runs_in == f"torch {torch.__version__} on cpu, fp32"


@needs_openvino
def test_openvino_sends_nothing_and_works_in_a_forked_process():
    assert "openvino_telemetry" not in sys.modules
    assert "openvino_telemetry.backend" not in sys.modules
    encoder = load_encoder(EncoderConfig(runtime="openvino"), CPU)
    image, cells = picture(6), some_cells((240, 320))
    before = encoder.describe_cells(image, cells)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(encoder.describe_cells(image, cells), before) else 1)
    assert os.waitpid(child, 0)[1] == 0
