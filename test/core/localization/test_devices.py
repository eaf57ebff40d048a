"""A map says the same on a GPU as on the CPU; tried on the CPU where there is no GPU."""

import pytest
import torch
from helpers.rooms import CONFIG
from lib.device_agreement import (
    Side,
    agreement,
    check_agreement,
    check_times,
    check_whole_times,
    stage_times_ms,
    whole_times_ms,
)
from lib.report import Report

from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.mapping.mapper import Mapper

CPU = torch.device("cpu")
GPU = [pytest.mark.cuda,
       pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")]
pytestmark = pytest.mark.render


@pytest.fixture(scope="module")
def head(mapped):
    """Exported weights of the room's map."""
    return mapped[0].export_head()


@pytest.fixture(scope="module")
def looked_at(room_frames):
    return room_frames[10:70:6]


def side(head, device, precision):
    return Side.of(CONFIG, head, torch.device(device), precision)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_map_says_the_same_on_every_device(head, looked_at, device, precision):
    figures = agreement(side(head, "cpu", "fp32"), side(head, device, precision), looked_at)
    report = Report("agreement")
    check_agreement(report, figures)
    assert [check for check in report.checks if not check.ok] == []
    if device == "cpu" and precision == "fp32":
        assert figures["cosine_least"] == pytest.approx(1.0, abs=1e-5)
        assert figures["same_words"] == figures["same_found"] == 1.0
        assert figures["pose_m"]["largest"] < 1e-9 and figures["pose_deg"]["largest"] < 1e-6


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_every_stage_is_timed(head, looked_at, device):
    times_ms = stage_times_ms(side(head, device, "auto"), looked_at[:3], rounds=1)
    assert set(times_ms) == {"encoder", "describe", "prediction", "pose", "frame"}
    assert all(0.0 <= ms["median"] <= ms["p95"] for ms in times_ms.values())
    assert 0.3 * times_ms["encoder"]["median"] < times_ms["frame"]["median"]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_whole_frames_are_timed(head, looked_at, device):
    there = side(head, device, "auto")
    times_ms = whole_times_ms(CONFIG, there, looked_at[:2], rounds=1, record=False)
    assert not times_ms["recorded"]
    assert all(0.0 < times_ms[stage]["median"] for stage in ("work", "frame"))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_is_quick_with_one_graph(head, looked_at):
    report = Report("times")
    there = side(head, "cuda", "auto")
    check_whole_times(report, whole_times_ms(CONFIG, there, looked_at, rounds=3, record=True))
    assert [check for check in report.checks if not check.ok] == []


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_is_quick(head, looked_at):
    report = Report("times")
    check_times(report, stage_times_ms(side(head, "cuda", "auto"), looked_at, rounds=3))
    assert [check for check in report.checks if not check.ok] == []


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_mapper_learns_on_every_device(mapped, looked_at, device):
    """What is learned on a device is found on the CPU, as well as what the CPU learned."""
    there = Mapper(CONFIG, load_encoder(CONFIG.encoder, torch.device(device)))
    for keyframe in (keyframe for result in mapped[1] for keyframe in result.keyframes):
        there.add_keyframe(keyframe, there.map_id)
    there.work(float("inf"))
    figures = agreement(side(mapped[0].export_head(), "cpu", "fp32"),
                        side(there.export_head(), "cpu", "fp32"), looked_at)
    assert figures["both_found"] == figures["frames"]
    assert figures["pose_m"]["median"] < 0.01 and figures["pose_deg"]["median"] < 0.5
