"""Points that other views saw through are movers; covered, unknown and static ones are not."""

from dataclasses import replace

import numpy as np

from ace_slam_ros.core.config.sections import SensorConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.floor_scan import FloorScan
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.data.poses import SubmapPose
from ace_slam_ros.core.data.submaps import SubmapMotion
from ace_slam_ros.core.geometry.se3 import exp_se3, invert_pose, transform_points
from ace_slam_ros.core.odometry.flow.corners import CornerMotion
from ace_slam_ros.core.tracking.moving_objects import MovingObjects

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
POSE = exp_se3(np.array([0.4, -0.2, 0.1, 0.0, 0.2, 0.1]))
WALL_M, PERSON_M = 3.0, 1.6
TENTH_S = 100_000_000


def frame(depth_m, stamp_ns=0):
    return Frame(stamp_ns, np.zeros((480, 640), np.uint8), depth_m.astype(np.float32), CAMERA)


def wall(person_at=None):
    """Depth of a wall, with a person from column `person_at` on before it."""
    depth = np.full((480, 640), WALL_M)
    if person_at is not None:
        depth[:, max(person_at, 0):max(person_at + 160, 0)] = PERSON_M
    return depth


def keyframe(depth_m, stamp_ns=0, identifier=0, pose=POSE):
    """Features on a grid of 16 px."""
    u, v = np.meshgrid(np.arange(8, 640, 16), np.arange(8, 480, 16))
    pixels = np.stack([u.ravel(), v.ravel()], 1)
    points = CAMERA.unproject(pixels.astype(float), depth_m[pixels[:, 1], pixels[:, 0]])
    descriptors = np.ones((len(pixels), 4), np.float32) / 2
    features = Features(descriptors, pixels.astype(np.float32), points.astype(np.float32))
    return Keyframe.from_features(identifier, stamp_ns, pose, features, CAMERA)


def on_person(frame):
    return int((frame.points_cam_N3[:, 2] < 2.0).sum())


def test_a_point_before_a_known_background_is_a_mover():
    seen = MovingObjects(SensorConfig())
    depth = np.full((480, 640), WALL_M)
    depth[:, :100] = 0.0  # unknown there
    depth[:, 540:] = 1.0  # something near there
    seen.add(frame(depth), SubmapPose(POSE))
    pixels = np.array([[320, 240], [321, 240], [322, 240], [40, 240], [600, 240], [323, 240]],
                      np.float32)
    # in the air; on the wall; on it as far as noise explains; before nothing known; behind the
    # near thing; behind the wall
    points = CAMERA.unproject(pixels, np.array([1.5, 3.0, 2.85, 1.5, 2.0, 4.0]))
    features = Features(np.eye(6, dtype=np.float32), pixels, points.astype(np.float32))
    new = Keyframe.from_features(0, TENTH_S, POSE, features, CAMERA)
    kept = seen.watch(new)
    assert kept.pixels_N2.tolist() == pixels[1:].tolist()
    assert kept.descriptors_i8_ND.shape == (5, 6) and new.shared_with(kept).tolist() == [
        False, *[True] * 5]
    seen.clear()
    assert len(seen.watch(new).pixels_N2) == 6


def test_who_walks_away_leaves_the_keyframe_afterwards():
    """A person stands in the first view already and leaves: only later views can tell."""
    seen = MovingObjects(SensorConfig())
    first = keyframe(wall(240))
    assert on_person(first) > 250
    assert seen.watch(first) is not None and seen.pruned(0) is None
    prunings = []
    for n in range(1, 31):
        seen.add(frame(wall(240 + 20 * n), n * TENTH_S), SubmapPose(POSE))
        pruned = seen.pruned(n * TENTH_S)
        prunings += [(n, pruned)] if pruned is not None else []
    assert prunings and (np.diff([n for n, _ in prunings]) >= 10).all()
    last = prunings[-1][1]
    assert on_person(last) < 0.05 * on_person(first)
    static = len(first.pixels_N2) - on_person(first)
    assert len(last.pixels_N2) - on_person(last) == static and last.id == first.id


def test_a_static_scene_is_never_pruned_and_the_watch_ends():
    rng = np.random.default_rng(0)
    sensor, room = SensorConfig(), wall(240)
    seen = MovingObjects(sensor)

    def noisy(n):
        pose = POSE @ exp_se3(np.array([0.01 * n, 0, 0, 0, 0, 0]) + rng.normal(size=6) * 0.001)
        depth = wall(240 - round(525 * 0.01 * n / PERSON_M))
        return frame(depth + rng.normal(size=depth.shape) * sensor.depth_sigma_m(depth),
                     n * TENTH_S), SubmapPose(pose)

    first = seen.watch(keyframe(room))
    assert len(first.pixels_N2) == 1200
    for n in range(45):
        seen.add(*noisy(n))
        assert seen.pruned(n * TENTH_S) is None
    for n in range(45, 60):  # gone after the watch: the map keeps what stood there for so long
        seen.add(frame(wall(), n * TENTH_S), SubmapPose(POSE))
        assert seen.pruned(n * TENTH_S) is None


def test_corners_that_move_take_the_features_near_them():
    """A person turns before a wall and is never seen through."""
    seen = MovingObjects(SensorConfig())
    first = seen.watch(keyframe(wall(240)))
    points = first.points_cam_N3
    person = points[:, 2] < (PERSON_M + points[:, 2].max()) / 2
    corners = np.arange(0, len(points), 3)
    moving = person[corners]
    followed = np.full(len(corners), 20, np.int32)
    astray = np.where(moving, 15, 2).astype(np.int32)

    def motion(identifier):
        return CornerMotion(points[corners].astype(float), followed, astray)

    assert seen.pruned(TENTH_S, motion) is None, "not before it is due"
    pruned = seen.pruned(11 * TENTH_S, motion)
    kept = pruned.points_cam_N3[:, 2] < (PERSON_M + points[:, 2].max()) / 2
    assert kept.sum() < 0.1 * person.sum()
    assert (~kept).sum() == (~person).sum()


def test_what_is_no_evidence_of_motion():
    rng = np.random.default_rng(3)
    points = rng.uniform((-1, -1, 2), (1, 1, 2.1), (300, 3)).astype(np.float32)

    def moving(followed, astray):
        return CornerMotion(points.astype(float), np.full(300, followed, np.int32),
                            np.asarray(astray, np.int32)).moving_near(points)

    left = (points[:, 0] < -0.2).astype(np.int32)
    found = moving(20, 20 * left)
    assert found[points[:, 0] < -0.3].mean() > 0.9 and not found[points[:, 0] > -0.1].any()
    assert not moving(4, 4 * left).any(), "followed too seldom"
    assert not moving(20, 8 * left).any(), "they disagree in fewer frames than they agree"
    assert not moving(20, 20 * (1 - left)).any(), "most move: the keyframe is misplaced"
    alone = np.zeros(300)
    alone[7] = 20
    assert not moving(20, alone).any()
    pair = np.zeros(300)
    pair[np.argsort(np.linalg.norm(points - points[7], axis=1))[:2]] = 20
    assert not moving(20, pair).any(), "more corners there stand"


def test_a_torn_rim_of_depth_is_no_mover():
    """One view in eight lets through where something stands."""
    seen = MovingObjects(SensorConfig())
    seen.watch(keyframe(wall(240)))
    for n in range(1, 33):
        seen.add(frame(wall(None if n % 8 == 4 else 240), n * TENTH_S), SubmapPose(POSE))
        assert seen.pruned(n * TENTH_S) is None


def test_a_view_with_a_wrong_pose_is_not_believed():
    seen = MovingObjects(SensorConfig())
    seen.watch(keyframe(wall()))
    wrong = POSE @ exp_se3(np.array([0.0, 0.0, -1.0, 0.0, 0.0, 0.0]))
    for n in range(1, 20):
        seen.add(frame(wall() + 1.5, n * TENTH_S), SubmapPose(wrong))
        assert seen.pruned(n * TENTH_S) is None


def test_a_correction_of_the_map_moves_what_was_seen():
    seen = MovingObjects(SensorConfig())
    seen.watch(keyframe(wall(240)))
    for n in range(5):
        seen.add(frame(wall(240), n * TENTH_S), SubmapPose(POSE))
    moved = exp_se3(np.array([0.5, -0.3, 0.2, 0.0, 0.0, 0.4]))
    seen.correct({0: SubmapMotion(moved, 0), 1: SubmapMotion(POSE, 0)})
    now = keyframe(wall(240), 5 * TENTH_S, 1, moved @ POSE)
    assert len(seen.watch(now).pixels_N2) == 1200
    pruned = []
    for n in range(5, 25):
        seen.add(frame(wall(), n * TENTH_S), SubmapPose(moved @ POSE))
        pruned.append(seen.pruned(n * TENTH_S))
    for identifier in (0, 1):
        last = [k for k in pruned if k is not None and k.id == identifier][-1]
        assert on_person(last) == 0 and len(last.pixels_N2) > 850
    assert np.allclose(invert_pose(moved) @ now.T_map_cam, POSE)


def test_views_are_spread_over_time_and_bounded():
    seen = MovingObjects(SensorConfig())
    seen.add(frame(wall(240)), SubmapPose(POSE))
    seen.add(frame(wall(), TENTH_S // 2), SubmapPose(POSE))  # too soon
    assert on_person(seen.watch(keyframe(wall(240), TENTH_S))) > 250
    seen.add(frame(wall(), 2 * TENTH_S), SubmapPose(POSE))
    assert on_person(seen.watch(keyframe(wall(240), 3 * TENTH_S))) == 0
    for n in range(4, 34):
        seen.add(frame(wall(240), n * TENTH_S), SubmapPose(POSE))
    assert on_person(seen.watch(keyframe(wall(240), 34 * TENTH_S))) > 250


def test_points_map_as_the_camera_stands():
    """The pose of the keyframe decides where its points are."""
    seen = MovingObjects(SensorConfig())
    seen.add(frame(wall()), SubmapPose(POSE))
    aside = POSE @ exp_se3(np.array([0.3, 0.1, 0.0, 0.0, 0.0, 0.0]))
    kept = seen.watch(keyframe(wall(240), TENTH_S, 0, aside))
    points = transform_points(aside, kept.points_cam_N3.astype(float))
    in_view = transform_points(invert_pose(POSE), points)
    uv = CAMERA.project(in_view)
    inside = ((uv > 12) & (uv < (628, 468))).all(axis=1)
    assert (in_view[inside, 2] > 2.9).all() and inside.sum() > 500


def test_a_person_leaves_the_scan_as_the_features():
    """Ranges of a scan that views see through, before or after, become unknown."""
    ranges = np.full(5, 1500, np.int16)
    ranges[4] = -2000
    scan = FloorScan(np.array([0.0, 1.0, 0.0, 1.0]), -0.2, 0.1, ranges)
    pixels = np.array([[100.0, 240.0], [290.0, 240.0], [320.0, 240.0], [350.0, 240.0]])
    ends = np.full((5, 3), np.nan)
    ends[:4] = CAMERA.unproject(pixels, np.array([WALL_M, PERSON_M, PERSON_M, PERSON_M]))
    seen = MovingObjects(SensorConfig())
    seen.add(frame(wall(240)), SubmapPose(POSE))
    first = seen.watch(replace(keyframe(wall(240)), scan=scan), ends)
    assert first.scan.ranges_mm_K.tolist() == ranges.tolist()
    for n in range(1, 20):
        seen.add(frame(wall(), n * TENTH_S), SubmapPose(POSE))
    pruned = seen.pruned(20 * TENTH_S)
    assert pruned.scan.ranges_mm_K.tolist() == [1500, 0, 0, 0, -2000]
    again = seen.watch(replace(keyframe(wall(240), 20 * TENTH_S, 1), scan=scan), ends)
    assert again.scan.ranges_mm_K.tolist() == [1500, 0, 0, 0, -2000]
    assert not pruned.is_less_of(again), "another keyframe"
    assert pruned.is_less_of(first) and not first.is_less_of(pruned)


def test_views_of_another_submap_say_nothing():
    seen = MovingObjects(SensorConfig())
    for n in range(5):
        seen.add(frame(wall(), n * TENTH_S), SubmapPose(POSE, submap=1))
    assert len(seen.watch(keyframe(wall(240), 5 * TENTH_S)).pixels_N2) == 1200
