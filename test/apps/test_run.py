"""Runs over rendered and recorded sequences write what they promise."""

import json
import multiprocessing
import os
import threading

import pytest
from helpers.rooms import CONFIG, FRAMES, LOCALIZATION

from ace_slam_ros.apps.relocalize import relocalize_sequence
from ace_slam_ros.apps.run import run_sequence
from ace_slam_ros.core.data.trajectory import read_tum
from ace_slam_ros.core.errors import ConfigError
from ace_slam_ros.core.tracking.tracker import Tracker
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.weights_ipc.layout import SHM_DIR

pytestmark = pytest.mark.render


def test_every_frame_twice_is_identical(room, tmp_path):
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        source = _limited(room, 25)
        run_sequence(source, CONFIG, tmp_path / name, progress=False)
        texts.append((tmp_path / name / "trajectory.txt").read_bytes())
    assert texts[0] == texts[1]


def _limited(folder, count, start=0):
    """A source that ends after some frames."""
    source = open_source(folder)

    class Limited:
        name, path, camera, raw_camera = source.name, source.path, source.camera, source.raw_camera
        groundtruth, skips, summary = source.groundtruth, source.skips, source.summary
        stamps_ns = source.stamps_ns[start:start + count]
        is_live, device_names = False, source.device_names

        def __len__(self):
            return len(self.stamps_ns)

        def __iter__(self):
            return (source[i] for i in range(start, min(start + count, len(source))))

    return Limited()


def test_run_and_relocalize_write_what_they_promise(room, tmp_path):
    run, query = tmp_path / "run", tmp_path / "query"
    run.mkdir()
    query.mkdir()
    run_sequence(_limited(room, FRAMES), CONFIG, run, realtime=True, progress=False)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["frames"] == FRAMES
    assert summary["tracked"] + summary["lost"] + summary["skipped"] == FRAMES
    assert 0 < summary["compared"]["poses"] <= summary["tracked"]
    assert summary["groundtruth"]["dropped"] == {} and summary["depth_unit"]["m"] == 0.0002
    assert summary["ate_rmse_m"] < 0.04 and summary["realtime_factor"] > 0.0
    for key in ("rpe_trans_m_per_s", "latency_ms", "fps", "map_bytes", "keyframe_bytes",
                "peak_rss_mb", "device", "config", "version", "skipped"):
        assert summary[key] is not None
    assert len(read_tum(run / "trajectory.txt")) == summary["tracked"]
    assert (run / "trajectory.png").stat().st_size > 5000
    found = relocalize_sequence(run / "map", _limited(room, 12, 30), CONFIG, query, progress=False)
    assert found.queries == 12 and found.recall_5cm_5deg > 0.9 and found.false_accepts == 0
    rgb = relocalize_sequence(run / "map", _limited(room, 6, 30), CONFIG, query, rgb_only=True,
                              progress=False)
    assert found.extra["asked"] == found.extra["answered"] + sum(
        refusal["count"] for refusal in found.extra["refused"].values()) == 12
    assert rgb.mode == "rgb" and rgb.recall_10cm_5deg >= 0.5


def test_an_interrupted_run_leaves_nothing_behind(room, tmp_path, monkeypatch):
    """A thread that still decodes would abort the interpreter's end."""
    def interrupt(self, frame, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Tracker, "track", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_sequence(_limited(room, FRAMES), CONFIG, tmp_path, realtime=True, progress=False)
    assert "camera" not in {thread.name for thread in threading.enumerate()}
    assert not multiprocessing.active_children()
    assert not list(SHM_DIR.glob(f"ace_slam_run_{os.getpid()}_*"))


def test_real_sequence(tum_fr1_xyz, tmp_path):
    summary = run_sequence(_limited(tum_fr1_xyz, 300), CONFIG, tmp_path, progress=False)
    assert summary.lost == 0 and summary.tracked == summary.frames == 300
    assert summary.ate_rmse_m < 0.015 and summary.raw_ate_rmse_m < 0.03
    assert summary.map_bytes < 1_200_000


@pytest.mark.alone
def test_real_sequence_in_real_time(tum_fr1_xyz, tmp_path):
    summary = run_sequence(
        _limited(tum_fr1_xyz, 240), CONFIG, tmp_path, realtime=True, progress=False)
    assert summary.ate_rmse_m < 0.05
    assert summary.tracked + summary.lost + summary.skipped == 240


@pytest.mark.alone
def test_a_recording_can_be_played_faster_and_slower(room, tmp_path):
    factors = {}
    for rate in (0.5, 3.0):
        summary = run_sequence(
            _limited(room, 20), CONFIG, tmp_path, realtime=True, rate=rate, progress=False)
        assert summary.tracked + summary.lost + summary.skipped == 20
        factors[rate] = summary.realtime_factor
    assert factors[0.5] < 0.6 and factors[0.5] < factors[3.0]


def test_localization_without_a_map_is_refused(room, tmp_path):
    with pytest.raises(ConfigError, match="--map"):
        run_sequence(_limited(room, 3), LOCALIZATION, tmp_path, progress=False)
