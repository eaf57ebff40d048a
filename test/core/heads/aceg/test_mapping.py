"""A rendered room, mapped with tokens from its first frame."""

import numpy as np
import pytest
from helpers.rooms import CONFIG

from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, pose_error
from ace_slam_ros.core.localization.relocalizer import Relocalizer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.slam import Slam


@pytest.mark.render
@pytest.mark.parametrize("head_type", ["aceg", "affine+aceg"])
def test_a_room_is_mapped_from_its_first_frame(head_type, encoder, room_frames, tmp_path):
    config = CONFIG.with_values({"head.type": head_type})
    slam = Slam(config, encoder)
    results = [slam.process(frame) for frame in room_frames[:40]]
    assert all(result.has_map_pose for result in results)
    raw = [pose_error(r.T_map_cam_raw, r.T_map_cam)[0] for r in results[1:]
           if r.T_map_cam_raw is not None]
    assert len(raw) > 35 and np.median(raw) < 0.02
    slam.mapper.save(tmp_path / "map")
    mapper = Mapper(CONFIG, encoder)
    mapper.load(tmp_path / "map")
    shift = exp_se3(np.array([0.5, 0.2, -0.1, 0, 0, 0.2]))
    mapper.move_keyframes(
        {i: shift @ pose.T_map_cam for i, pose in mapper.keyframe_poses.items()})
    relocalizer = Relocalizer(CONFIG, encoder)
    relocalizer.set_head(mapper.export_head(), 1)
    answer = relocalizer.locate(room_frames[25])
    back = invert_pose(shift) @ answer.T_map_cam
    assert answer.success and pose_error(back, results[25].T_map_cam)[0] < 0.05
