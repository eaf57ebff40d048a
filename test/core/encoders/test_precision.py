"""Half precision stays near single, and the processor decides."""

import numpy as np
import torch
from helpers.encoders import CPU

from ace_slam_ros.core.config.sections import EncoderConfig
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.runtime.precision import choose_precision


def test_half_precision_stays_near_single():
    """Bound: the two descriptors of a cell have a cosine above 0.999."""
    config = EncoderConfig(precision="bf16")
    half = load_encoder(config, CPU)
    single = load_encoder(EncoderConfig(precision="fp32"), CPU)
    assert half.runs_in.endswith("bf16") and single.runs_in.endswith("fp32")
    assert half.hash == single.hash
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (15, 20)).astype(np.uint8)
    image = np.kron(coarse, np.ones((8, 8), np.uint8))
    a, b = half.describe(image), single.describe(image)
    assert a.dtype == torch.float32
    assert (a * b).sum(dim=-1).min() > 0.999


def test_precision_follows_the_processor(monkeypatch):
    from ace_slam_ros.core.runtime import precision

    for native, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(precision, "cpu_has_bf16", lambda native=native: native)
        assert choose_precision("auto", CPU) == expected
        assert choose_precision("bf16", CPU) == "bf16"
        assert choose_precision("fp32", CPU) == "fp32"
