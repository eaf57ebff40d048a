"""The mapper in its own process: it learns, saves, tells what fails, and ends with its owner."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import scene_heads as scene
from helpers.rooms import CONFIG, LOCALIZATION

from ace_slam_ros.apps.mapper_process import MapperProcess, MapperProcessError
from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.heads.payload import read_info
from ace_slam_ros.core.maps.map_folder import load_map
from ace_slam_ros.weights_ipc.layout import SHM_DIR, segment_path

pytestmark = pytest.mark.slow
PATIENCE_S = 120.0


def until(found):
    end = time.monotonic() + PATIENCE_S
    while (value := found()) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def test_keyframes_become_weights_and_a_map_that_is_continued(mapped, tmp_path):
    keyframes = [k for result in mapped[1] for k in result.keyframes]
    with MapperProcess(CONFIG) as mapper:
        segment = segment_path(mapper._segment)
        assert segment.exists() and mapper.newer_head() is None
        with pytest.raises(MapError, match="nothing is mapped yet"):
            mapper.save(tmp_path / "empty")
        mapper.put(keyframes[:1], "m")
        head, version = until(mapper.newer_head)
        assert read_info(head).map_id == "m" and version >= 1
        mapper.put(keyframes[1:], "m")
        manifest = mapper.save(tmp_path / "map", np.eye(4))
        assert manifest.keyframes == len({k.id for k in keyframes})
    assert not segment.exists()
    assert np.array_equal(load_map(tmp_path / "map").manifest.T_groundtruth_map, np.eye(4))
    with MapperProcess(CONFIG, tmp_path / "map") as mapper:
        head, _ = until(mapper.newer_head)
        assert read_info(head).map_id == "m" and read_info(head).keyframes == manifest.keyframes
    with MapperProcess(LOCALIZATION, tmp_path / "map") as mapper:
        head, version = until(mapper.newer_head)
        assert head == load_map(tmp_path / "map").head
        mapper.put([scene.keyframe(0, scene.some_points(np.random.default_rng(0)))], "other")
        time.sleep(0.5)
        assert mapper.newer_head() is None


def test_what_goes_wrong_there_is_raised_here(tmp_path):
    with pytest.raises(MapError, match="no map at"):
        MapperProcess(CONFIG, tmp_path / "none")
    with MapperProcess(CONFIG) as mapper:
        os.kill(mapper._process.pid, signal.SIGKILL)
        mapper._process.join(PATIENCE_S)
        with pytest.raises(MapperProcessError, match=r"ended \(exit code -9\)"):
            mapper.newer_head()


def test_the_mapper_ends_when_its_owner_is_killed():
    code = ("import time\nfrom ace_slam_ros.apps.mapper_process import MapperProcess\n"
            "from ace_slam_ros.core.config.sections import SlamConfig\n"
            "if __name__ == '__main__':\n"
            "    mapper = MapperProcess(SlamConfig().with_values({'device': 'cpu'}))\n"
            "    print(mapper._process.pid, flush=True)\n    time.sleep(1000)\n")
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    assert list(SHM_DIR.glob(f"ace_slam_run_{owner.pid}_*"))
    owner.kill()
    owner.wait()
    until(lambda: None if os.path.exists(f"/proc/{pid}") else True)
    assert not list(SHM_DIR.glob(f"ace_slam_run_{owner.pid}_*"))
