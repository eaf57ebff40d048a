"""A saved map is continued and localized in."""

import pytest
from helpers.rooms import CONFIG, black
from helpers.tracking import new_keyframe, process

from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.localization.relocalizer import RelocalizationReason, Relocalizer
from ace_slam_ros.core.mapping.mapper import Mapper
from ace_slam_ros.core.tracking.result import TrackerState
from ace_slam_ros.core.tracking.tracker import Tracker

pytestmark = pytest.mark.render


def test_a_map_is_continued_and_localized_in(mapped, encoder, room_frames, tmp_path):
    mapper, results = mapped
    mapper.save(tmp_path / "map")
    again = Mapper(CONFIG, encoder)
    again.load(tmp_path / "map")
    assert again.map_id == mapper.map_id and again.keyframe_count == mapper.keyframe_count
    relocalizer = Relocalizer(CONFIG, encoder)
    assert relocalizer.locate(room_frames[3]).reason is RelocalizationReason.NO_MAP
    relocalizer.set_head(again.export_head(), 8)
    answer = relocalizer.locate(room_frames[45])
    assert answer.success and answer.weights_version == 8
    assert pose_error(answer.T_map_cam, results[45].T_map_cam)[0] < 0.05
    assert relocalizer.locate(room_frames[45], 0.999).reason is RelocalizationReason.LOW_CONFIDENCE
    assert relocalizer.locate(black(room_frames[45])).reason is RelocalizationReason.NO_SOLUTION


def test_a_later_session_starts_elsewhere_and_goes_on_with_the_map(
    mapped, encoder, room_frames, tmp_path
):
    """The second session's first view is not the map's origin; all it adds is in the old frame."""
    _, results = mapped
    places = [i for i, result in enumerate(results) if new_keyframe(result) is not None]
    middle = len(places) // 2
    first = Mapper(CONFIG, encoder, map_id="shared")
    for i in places[:middle]:
        first.add_keyframe(new_keyframe(results[i]), "shared")
    first.work(float("inf"))
    first.save(tmp_path / "map")

    mapper, tracker = Mapper(CONFIG, encoder), Tracker(CONFIG, encoder)
    mapper.load(tmp_path / "map")
    before = mapper.keyframe_count
    tracker.set_head(mapper.export_head(), 1)
    added = []
    for i in range(places[middle - 1] + 1, places[middle] + 8):
        found = process(tracker, room_frames[i])
        assert found.state is TrackerState.TRACKING, i
        assert pose_error(found.T_map_cam, results[i].T_map_cam)[0] < 0.05
        if (keyframe := new_keyframe(found)) is not None:
            added.append(keyframe.id)
            mapper.add_keyframe(keyframe, tracker.map_id)
            mapper.work(float("inf"))
            tracker.set_head(mapper.export_head(), i)
    assert tracker.map_id == mapper.map_id == "shared"
    assert added and mapper.keyframe_count == before + len(added), "no id was taken twice"
