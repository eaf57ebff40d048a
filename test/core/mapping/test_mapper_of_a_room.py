"""The mapper of a rendered room: continued, corrected, bounded."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.rooms import CONFIG

from ace_slam_ros.core.errors import MapError
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error
from ace_slam_ros.core.localization.relocalizer import Relocalizer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.tracker import Tracker


@pytest.mark.render
def test_correcting_keyframes_moves_the_map(mapped, encoder, room_frames, tmp_path):
    mapper, results = mapped
    mapper.save(tmp_path / "map")
    moved = Mapper(CONFIG, encoder)
    moved.load(tmp_path / "map")
    shift = exp_se3(np.array([0.5, 0.2, -0.1, 0, 0, 0.2]))
    before = moved.keyframe_trajectory()
    moved.move_keyframes({i: shift @ pose.T_map_cam for i, pose in moved.keyframe_poses.items()})
    after = moved.keyframe_trajectory()
    assert np.allclose(after.T_map_cam_N44, shift @ before.T_map_cam_N44)
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(moved.export_head(), 1)
    answer = relocalizer.locate(room_frames[45])
    back = invert_pose(shift) @ answer.T_map_cam
    assert answer.success and pose_error(back, results[45].T_map_cam)[0] < 0.05


@pytest.mark.render
def test_mapper_memory_is_bounded(encoder, mapped):
    _, results = mapped
    config = CONFIG.with_values({"keyframe.max_count": 12, "mapper.pose_graph": False})
    mapper = Mapper(config, encoder, map_id="m")
    base = next(k for r in results for k in r.keyframes)
    for k in range(20):
        T = exp_se3(np.array([0.05 * k, 0, 0, 0, 0, 0])) @ base.T_map_cam
        mapper.add_keyframe(replace(base, id=k, stamp_ns=k, T_map_cam=T), "m")
        mapper.work(float("inf"))
    assert mapper.keyframe_count == 12
    assert {k for k in range(10, 20)} <= set(mapper.keyframe_poses)


def test_nothing_mapped_cannot_be_saved(encoder, tmp_path):
    with pytest.raises(MapError, match="nothing is mapped"):
        Mapper(CONFIG, encoder).save(tmp_path / "map")


@pytest.mark.render
def test_keyframe_ids_never_repeat(mapped, encoder, tmp_path):
    mapped[0].save(tmp_path / "map")
    mapper = Mapper(CONFIG, encoder)
    mapper.load(tmp_path / "map")
    keyframe = next(k for r in mapped[1] for k in r.keyframes)
    seen = set(mapper.keyframe_poses)
    for _ in range(3):
        tracker = Tracker(CONFIG, encoder)
        tracker.set_head(mapper.export_head(), 1)
        base = tracker._keyframes.next_id
        assert base not in seen and base > max(seen)
        assert mapper.add_keyframe(replace(keyframe, id=base, stamp_ns=base), mapper.map_id)
        assert not mapper.add_keyframe(replace(keyframe, id=base), mapper.map_id)
        mapper.work(float("inf"))
        seen.add(base)
