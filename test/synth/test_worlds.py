"""Synthetic worlds: determinism, depth in range, lighting, movers, files."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.scenes import SEED, depth_of, poses_of, unlit

from ace_slam_ros.core.data.trajectory import read_tum
from ace_slam_ros.core.errors import ConfigError, DataError
from ace_slam_ros.io.calibration import read_camera_yaml
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.synth import World, make_world, write_sequence
from ace_slam_ros.synth.rendering.lighting import bake
from ace_slam_ros.synth.rendering.render import pack, rasterize, shade
from ace_slam_ros.synth.scenes.people import build_people
from ace_slam_ros.synth.scenes.room import build_room
from ace_slam_ros.synth.sensor import Sensor, SensorModel, facet_edges
from ace_slam_ros.synth.worlds import CAMERA, RATE_HZ, START_NS


@pytest.fixture(scope="module")
def frames(room: World) -> list:
    return list(room.frames(4))


@pytest.mark.render
def test_same_seed_gives_the_same_files_and_a_readable_folder(frames, tmp_path):
    build_room.cache_clear()  # build everything once more
    out = write_sequence(tmp_path / "seq", "room", SEED, frames=4)
    truth = read_tum(out / "groundtruth.txt")
    listed = {
        name: [line.split() for line in (out / f"{name}.txt").read_text().splitlines()
               if not line.startswith("#")]
        for name in ("rgb", "depth")
    }
    for k, item in enumerate(frames):
        assert int(truth.stamps_ns[k]) == item.frame.stamp_ns
        assert abs(item.frame.stamp_ns - START_NS - k / RATE_HZ * 1e9) <= 1
        np.testing.assert_allclose(truth.T_map_cam_N44[k], item.T_world_cam_44, atol=2e-6)
        depth = cv2.imread(str(out / listed["depth"][k][1]), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16
        np.testing.assert_array_equal(depth, np.rint(item.frame.depth_m * np.float32(5000)))
        bgr = cv2.cvtColor(item.frame.image, cv2.COLOR_RGB2BGR)
        again = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
        assert (out / listed["rgb"][k][1]).read_bytes() == again
    assert read_camera_yaml(out / "camera.yaml") == (CAMERA, 5000.0)
    source = open_source(out)
    assert len(source) == 4
    np.testing.assert_allclose(source[2].depth_m, frames[2].frame.depth_m, atol=1.1e-4)
    assert len(listed["rgb"]) == len(listed["depth"]) == len(truth) == 4


@pytest.mark.render
def test_another_seed_is_another_world(corridor):
    other = make_world("corridor", SEED + 1)
    assert not np.allclose(other.path().pose(5.0), corridor.path().pose(5.0), atol=0.05)
    same = [np.array_equal(a.albedo, b.albedo)
            for a, b in zip(corridor.scene.surfaces, other.scene.surfaces, strict=False)]
    assert np.mean(same) < 0.1
    noise = [Sensor(SensorModel(), CAMERA, seed).expose(
        np.full((480, 640, 3), 120, np.uint8), np.zeros((480, 640), bool), 0, 0.0)
        for seed in (SEED, SEED, SEED + 1)]
    assert np.array_equal(noise[0], noise[1]) and not np.array_equal(noise[0], noise[2])


@pytest.mark.render
def test_frames_look_like_a_camera(frames):
    for item in frames:
        image = item.frame.image
        assert image.shape == (480, 640, 3) and 50 < image.mean() < 190
        assert image.std() > 20, "hardly any contrast"
        assert 0.7 < (item.frame.depth_m > 0).mean() < 1.0
        assert not item.mover_mask.any()
    still = frames[1].frame.image.astype(int) - frames[0].frame.image
    assert 0.5 < np.abs(still).mean() < 12, "noise changes, the scene at rest does not"


@pytest.mark.render
def test_lighting_is_the_same_room_in_another_light(room, room_geometry):
    evening = make_world("lighting", SEED)
    assert len(evening.scene.surfaces) == len(room.scene.surfaces)
    other = unlit(evening)
    for T_44 in poses_of(room, 250):
        a, b = rasterize(room_geometry, T_44, CAMERA), rasterize(other, T_44, CAMERA)
        np.testing.assert_array_equal(a.inverse_depth_HW, b.inverse_depth_HW)
        np.testing.assert_array_equal(
            shade(room_geometry, a, T_44, CAMERA), shade(other, b, T_44, CAMERA))
    floor = room.scene.surfaces[:1]
    day, dusk = (bake(floor, w.scene.boxes, w.lighting, SEED)[0].astype(float)
                 for w in (room, evening))
    ratio = (dusk + 1) / (day + 1)
    assert ratio[..., 0].mean() / ratio[..., 2].mean() > 1.15, "the evening is warmer"
    assert np.ptp(np.percentile(ratio.mean(2), [5, 95])) > 0.2, "the shadows fall elsewhere"
    assert np.linalg.norm(evening.path().pose(4)[:3, 3] - room.path().pose(4)[:3, 3]) > 0.05


@pytest.mark.render
def test_movers_cover_up_to_two_fifths_and_the_twin_has_none():
    world, twin = make_world("dynamic", SEED), make_world("dynamic", SEED, movers=False)
    path = world.path()
    walkers = world.walkers(path)
    assert len(walkers) == 3 and twin.walkers(twin.path()) == ()
    bodies, _ = build_people(SEED, 3)
    surfaces = [*world.scene.surfaces, *bodies]
    facets = pack(surfaces, [s.albedo for s in surfaces])
    assert all(s.part == -1 for s in twin.scene.surfaces)
    share = []
    for number in range(0, world.default_frames, 25):
        time_s = number / RATE_HZ
        placed = facets.moved(np.concatenate([w.parts(time_s) for w in walkers]))
        seen = rasterize(placed, path.pose(time_s), CAMERA)
        moving = placed.part_N[seen.facet_HW] >= 0
        share.append(moving.mean())
        assert (depth_of(seen)[moving] > 0.4).all()
    assert 0.1 < np.mean(share) < 0.35 and 0.3 < np.max(share) < 0.42
    np.testing.assert_array_equal(path.pose(9.0), twin.path().pose(9.0))
    still = rasterize(unlit(twin), path.pose(2.0), CAMERA)
    placed = facets.moved(np.concatenate([w.parts(2.0) for w in walkers]))
    seen = rasterize(placed, path.pose(2.0), CAMERA)
    background = placed.part_N[seen.facet_HW] < 0
    np.testing.assert_array_equal(depth_of(seen)[background], depth_of(still)[background])


def test_views_have_depth_in_range(room, room_geometry, corridor):
    for world, facets in ((room, room_geometry), (corridor, unlit(corridor))):
        depths = [depth_of(rasterize(facets, T, CAMERA)) for T in poses_of(world, 90)]
        in_range = np.array([np.mean((d > 0.4) & (d < 5)) for d in depths])
        assert in_range.mean() > 0.8 and in_range.min() > 0.5
        assert all(0.8 < d.mean() < 4.2 for d in depths)
        assert min(d.min() for d in depths) > 0.4


@pytest.mark.render
def test_every_view_has_texture(room):
    sensor = Sensor(SensorModel(), CAMERA, SEED)
    for number, T_44 in enumerate(poses_of(room, 75)):
        view = room.view(T_44)
        image = sensor.expose(view.image, facet_edges(view.visibility.facet_HW), number, 0.0)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        corners = cv2.goodFeaturesToTrack(gray, 500, 0.02, 8)
        cells = {(int(x) // 160, int(y) // 160) for x, y in corners.reshape(-1, 2)}
        assert len(corners) > 120 and len(cells) >= 7


def test_corridor_is_a_loop_of_thirty_metres_that_closes(corridor):
    poses = poses_of(corridor)
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert steps.sum() >= 30
    assert 0.7 < steps.mean() * RATE_HZ < 1.05
    back = np.linalg.norm(poses[600:, :3, 3] - poses[0, :3, 3], axis=1)
    assert back.min() < 0.5
    assert np.linalg.norm(poses[:, :2, 3] - poses[0, :2, 3], axis=1).max() > 8


def test_corridor_doors_are_all_alike(corridor):
    looks = {}
    for surface in corridor.scene.surfaces:
        looks.setdefault(surface.albedo.tobytes(), []).append(surface)
    assert max(len(group) for group in looks.values()) >= 10


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="known: room"):
        make_world("moon", 0)
    with pytest.raises(ConfigError, match="negative"):
        make_world("room", -1)
    with pytest.raises(DataError, match="at least one"):
        write_sequence(Path(tmp_path), "room", 0, frames=0)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_sequence(blocked / "seq", "room", 0, frames=1)


def test_frames_can_be_taken_lazily(room):
    assert len(list(islice(room.frames(), 2))) == 2
