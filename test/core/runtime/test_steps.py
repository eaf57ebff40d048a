"""Work in parts: the same result as at once, and what pauses between."""

import numpy as np
import pytest
import torch

from ace_slam_ros.core.config.sections import EncoderConfig
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.runtime.steps import SteppedTask, at_once


def three():
    yield
    yield
    return "done"


def fails():
    yield
    raise ValueError("in the second part")


def test_steps_end_with_the_result():
    work = SteppedTask(three())
    assert not work.begun and work.result is None
    work.step()
    work.step()
    assert work.begun and work.result is None
    work.step()
    assert work.result == "done" == at_once(three())


def test_an_error_of_a_part_is_raised():
    work = SteppedTask(fails())
    work.step()
    with pytest.raises(ValueError, match="second part"):
        work.step()


def test_descriptors_in_steps_are_the_same_whatever_happens_between():
    encoder = load_encoder(EncoderConfig(), torch.device("cpu"))
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 255, (2, 120, 160), np.uint8)
    work = SteppedTask(encoder.describe_in_steps(one))
    steps = 0
    while work.result is None:
        work.step()
        steps += 1
        assert not torch.is_inference_mode_enabled()
        encoder.describe(other)
    assert steps == 3 and torch.equal(work.result, encoder.describe(one))
