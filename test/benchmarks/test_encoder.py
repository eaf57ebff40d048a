"""The encoder benchmark's measures on tiny inputs: known answers, thin bins, a whole report."""

import json
from dataclasses import replace
from pathlib import Path

import encoder as benchmark
import numpy as np
import pytest
import torch
from build_codebook import CodebookRecipe
from lib import matching
from lib.known_poses import PosedFrame
from lib.report import Report
from safetensors.torch import load_file

from ace_slam_ros.core.config.sections import EncoderConfig, SensorConfig, SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.networks.published.xfeat import XFeatNetwork
from ace_slam_ros.core.encoders.weight_files import ASSETS
from ace_slam_ros.core.geometry.se3 import exp_se3

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
CPU = torch.device("cpu")


def wall(shift_px=0, T=None):
    """A textured wall at 2 m, seen by a camera that moved sideways by whole pixels."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 255, (60, 100)).astype(np.uint8), np.ones((4, 4), np.uint8))
    image = np.ascontiguousarray(texture[:, shift_px:shift_px + 320])
    T = np.eye(4) if T is None else T
    T[0, 3] = shift_px * 2.0 / 260.0
    return PosedFrame(Frame(0, image, np.full((240, 320), 2.0, np.float32), CAMERA), T)


def test_bins_and_pairs():
    assert matching.bin_name(0.1, 3) == "0.00-0.25 m, 0-15 deg"
    assert matching.bin_name(0.6, 44) == "0.50-1.00 m, 30-45 deg"
    assert matching.bin_name(2.5, 0) is None and matching.bin_name(0.1, 50) is None
    poses = [exp_se3(np.array([0.1 * k, 0, 0, 0, 0, 0])) for k in range(8)]
    pairs = matching.choose_pairs(poses, None, 4, seed=1)
    assert pairs == matching.choose_pairs(poses, None, 4, seed=1)
    assert set(pairs) == {"0.00-0.25 m, 0-15 deg", "0.25-0.50 m, 0-15 deg",
                          "0.50-1.00 m, 0-15 deg"}
    assert all(len(p) == 4 and all(i < j for i, j in p) for p in pairs.values())
    across = matching.choose_pairs(poses, poses, 100, seed=1)["0.00-0.25 m, 0-15 deg"]
    assert (3, 3) in across and (4, 3) in across


@pytest.mark.parametrize("name", ["sift", "orb", "tiny"])
def test_every_descriptor_finds_a_shifted_wall(name):
    describe = {"sift": matching.sift_cells, "orb": matching.orb_cells,
                "tiny": load_encoder(EncoderConfig(), CPU).describe}[name]
    contender = matching.Contender(name, describe)
    pairs = {"all": [(0, 1)]}
    views = [wall(0), wall(32)]
    found = matching.matching_accuracy(contender, views, None, pairs, SensorConfig())
    assert found["all"][0] > 0.6
    wrong = [wall(0), replace(wall(32), T_map_cam=wall(0).T_map_cam)]  # a false pose: no match
    assert matching.matching_accuracy(
        contender, wrong, None, pairs, SensorConfig())["all"][0] < 0.2
    elsewhere = [wall(0), replace(wall(0), T_map_cam=exp_se3(np.array([9.0, 0, 0, 0, 0, 0])))]
    assert matching.matching_accuracy(
        contender, elsewhere, None, pairs, SensorConfig())["all"] == []


def test_the_summary_leaves_thin_bins_out():
    scores = {"a": {"near": [0.9] * 6, "far": [0.5] * 3},
              "b": {"near": [0.7] * 6, "far": [0.1] * 3}}
    table = matching.summarize(scores)
    assert table == {"near": {"pairs": 6, "a": pytest.approx(0.9), "b": pytest.approx(0.7)}}
    assert matching.worst_margin(table, "a", "b") == (pytest.approx(0.2), "near")
    assert matching.worst_margin({}, "a", "b") == (None, "")


def test_weights_are_found_by_folder_and_given_a_codebook(tmp_path):
    report = Report("encoder")
    (tmp_path / "w" / "xfeat").mkdir(parents=True)
    path = tmp_path / "w" / "xfeat" / "some.pt"
    torch.manual_seed(0)
    torch.save(XFeatNetwork().state_dict(), path)
    weights = benchmark.find_weights(tmp_path / "w", report)
    assert weights == {"xfeat": path} and len(report.absent) == 3
    plan = replace(benchmark.QUICK, codebook=CodebookRecipe(
        words=32, groups=4, samples=900, rounds=2, pictures=2))
    configs = benchmark.load_encoders(weights, tmp_path / "books", plan, report)
    assert list(configs) == ["tiny", "xfeat"]
    assert load_file(configs["xfeat"].codebook)["words"].shape == (32, 64)
    written = Path(configs["xfeat"].codebook).stat().st_mtime_ns
    benchmark.load_encoders(weights, tmp_path / "books", plan, report)
    assert Path(configs["xfeat"].codebook).stat().st_mtime_ns == written  # built once
    path.write_bytes(b"broken")
    assert list(benchmark.load_encoders(weights, tmp_path / "books", plan, report)) == ["tiny"]
    assert "does not hold weights" in report.absent[-1]


@pytest.mark.slow
def test_timing_and_report(tmp_path):
    report = Report("encoder")
    twin = EncoderConfig(weights=str(ASSETS / "tiny_encoder.safetensors"))
    benchmark.measure_time(report, {"tiny": EncoderConfig(), "xfeat": twin},
                           wall().frame.image, replace(benchmark.QUICK, rounds=1))
    names = [c.name for c in report.checks]
    assert "640x480 in fp32 on 2 threads, ms" in names
    assert "640x480 in fp32 on 2 threads, share of xfeat's time" in names
    assert next(c for c in report.checks if "least cosine" in c.name).ok
    report.finish(tmp_path / "r.json")
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["figures"]["time_ms"]["fp32, 1 threads"]["tiny"] > 0
    assert 0.99 < written["figures"]["cosine_to_fp32_cpu"]["bf16 on the CPU"]["least"] <= 1.001


def test_relocalization_is_checked_against_the_bars():
    report = Report("encoder")
    good = {"recall_5cm_5deg": 1.0, "recall_10cm_5deg": 0.9, "inlier_ratio": 0.8,
            "median_cm": 1.0}
    figures = {"tum_fr1_xyz": {s: {"tiny": good, "xfeat": {**good, "inlier_ratio": 0.85}}
                               for s in ("even_odd", "first_last")},
               "room learned by day, queried in the evening": {"tiny": good}}
    benchmark._check_relocalization(report, figures)
    assert [c.ok for c in report.checks] == [True, False, True, True]
    del figures["tum_fr1_xyz"]
    benchmark._check_relocalization(report, figures)
    assert "tum_fr1_xyz" in report.absent[0]


def test_stages_are_timed_and_compared_with_the_yardstick():
    from lib.encoder_stages import stage_times

    encoder = load_encoder(EncoderConfig(runtime="torch"), CPU)
    found = stage_times({"torch": encoder}, [wall(0).frame], SlamConfig(), rounds=2)["torch"]
    assert {"choose cells", "step 1", "step 2", "step 3", "frame", "yardstick"} <= set(found)
    assert found["frame / yardstick"] == found["frame"] / found["yardstick"] > 0
    assert all(ms >= 0 for ms in found.values())
