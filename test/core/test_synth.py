"""Synthetic worlds: determinism, exact depth and poses, sensor model, motion, movers, files."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.trajectory import read_tum
from ace_slam_ros.core.errors import ConfigError, DataError
from ace_slam_ros.core.geometry.se3 import invert_pose, transform_points
from ace_slam_ros.io.calibration import read_camera_yaml
from ace_slam_ros.io.open_source import open_source
from ace_slam_ros.synth import World, make_world, write_sequence
from ace_slam_ros.synth.motion import pose_of_state
from ace_slam_ros.synth.rendering.lighting import bake
from ace_slam_ros.synth.rendering.render import Facets, MipMap, Visibility, pack, rasterize, shade
from ace_slam_ros.synth.rendering.scene import Builder, cast_rays
from ace_slam_ros.synth.rendering.textures import generator, painted
from ace_slam_ros.synth.scenes.people import build_people
from ace_slam_ros.synth.scenes.room import build_room
from ace_slam_ros.synth.sensor import Sensor, SensorModel, facet_edges
from ace_slam_ros.synth.worlds import CAMERA, RATE_HZ, START_NS

SEED = 3


@pytest.fixture(scope="module")
def room() -> World:
    return make_world("room", SEED)


@pytest.fixture(scope="module")
def corridor() -> World:
    return make_world("corridor", SEED)


@pytest.fixture(scope="module")
def room_geometry(room: World) -> Facets:
    return unlit(room)


@pytest.fixture(scope="module")
def frames(room: World) -> list:
    return list(room.frames(4))


def unlit(world: World) -> Facets:
    """Facets without baked light: the same geometry, much quicker."""
    return pack(world.scene.surfaces, [s.albedo for s in world.scene.surfaces])


def depth_of(visibility: Visibility) -> np.ndarray:
    inverse = visibility.inverse_depth_HW
    return np.where(inverse > 0, 1 / np.maximum(inverse, 1e-9), 0).astype(np.float32)


def poses_of(world: World, every: int = 1) -> np.ndarray:
    path = world.path()
    return np.stack([path.pose(n / RATE_HZ) for n in range(0, world.default_frames, every)])


def pixel_rays(uv_N2: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    return camera.unproject(uv_N2.astype(float), np.ones(len(uv_N2)))


def test_depth_is_exact_against_brute_force(room, room_geometry, corridor):
    rng = np.random.default_rng(0)
    for world, facets in ((room, room_geometry), (corridor, unlit(corridor))):
        for T_44 in poses_of(world)[[40, 333, 700]]:
            seen = rasterize(facets, T_44, CAMERA)
            uv = np.stack([rng.integers(0, 640, 300), rng.integers(0, 480, 300)], 1)
            rays = pixel_rays(uv) @ T_44[:3, :3].T
            distance, index = cast_rays(facets.corners_NK3, T_44[:3, 3], rays)
            np.testing.assert_allclose(depth_of(seen)[uv[:, 1], uv[:, 0]], distance, rtol=2e-5)
            # Coplanar neighbors may share an edge pixel; anywhere else the facet is the same.
            assert np.mean(seen.facet_HW[uv[:, 1], uv[:, 0]] == index) > 0.99
            assert (seen.facet_HW >= 0).all(), "a hole in the world"


@settings(max_examples=25, deadline=None)
@given(st.floats(-1.2, 1.2), st.floats(-1, 1), st.floats(-3.1, 3.1), st.floats(-1.2, 1.2),
       st.floats(-0.6, 0.6), st.integers(5, 10))
def test_polygons_around_the_camera_match_brute_force(x, y, yaw, pitch, roll, sides):
    b = Builder(np.random.default_rng(1), texel_m=0.05)
    gray = painted((120.0, 120.0, 120.0))
    b.prism((0.3, 1.9, 0.2), (0.3, 0.7), 1.5, sides, gray, gray)
    b.prism((-1.8, -0.4, -0.3), (0.5, 0.2), 1.2, sides, gray, gray)
    b.box((0, 0, -1.2), (9.0, 9.0, 0.4), gray, "t")
    scene = b.build()
    camera = Camera(64, 48, 40.0, 40.0, 31.5, 23.5)
    facets = pack(scene.surfaces, [s.albedo for s in scene.surfaces])
    T_44 = pose_of_state(np.array([x, y, 0.6, yaw, pitch, roll]))
    seen = rasterize(facets, T_44, camera)
    v, u = np.mgrid[0:48, 0:64]
    rays = pixel_rays(np.stack([u.ravel(), v.ravel()], 1), camera) @ T_44[:3, :3].T
    distance, _ = cast_rays(facets.corners_NK3, T_44[:3, 3], rays)
    expected = np.where(np.isfinite(distance), distance, 0).reshape(48, 64)
    wrong = np.abs(depth_of(seen) - expected) > 1e-4 * np.maximum(expected, 1)
    assert wrong.sum() <= 2  # pixel centers that lie on an edge to the last bit


def test_image_and_depth_of_two_poses_agree(room):
    poses = poses_of(room)
    for i, j in ((300, 306), (520, 500)):
        a, b = room.view(poses[i]), room.view(poses[j])
        v, u = np.mgrid[8:472:3, 8:632:3]
        uv = np.stack([u.ravel(), v.ravel()], 1)
        points = CAMERA.unproject(uv.astype(float), a.depth_m[uv[:, 1], uv[:, 0]].astype(float))
        moved = transform_points(invert_pose(poses[j]) @ poses[i], points)
        at = CAMERA.project(moved).astype(np.float32)
        inside = (at > 2).all(1) & (at[:, 0] < 637) & (at[:, 1] < 477) & (moved[:, 2] > 0.1)
        assert inside.mean() > 0.4
        maps = at[inside].reshape(-1, 1, 2)
        depth = cv2.remap(b.depth_m, maps, None, cv2.INTER_NEAREST).ravel()
        shown = cv2.remap(b.image, maps, None, cv2.INTER_LINEAR).reshape(-1, 3)
        error = np.abs(depth - moved[inside, 2])
        near = error < 0.02
        assert near.mean() > 0.9 and np.median(error) < 0.004
        here = a.image[uv[inside, 1], uv[inside, 0]].astype(float)
        difference = np.abs(here - shown)[near].mean(1)
        contrast = np.abs(here - np.roll(here, 100, axis=0)).mean()
        assert np.median(difference) < 2.5 and difference.mean() < 0.25 * contrast


def test_depth_noise_follows_the_model(room, room_geometry):
    model = SensorModel()
    sensor = Sensor(model, CAMERA, SEED)
    scaled, depths, neighbors = [], [], []
    for number, T_44 in enumerate(poses_of(room, 125)):
        seen = rasterize(room_geometry, T_44, CAMERA)
        clean = depth_of(seen)
        measured = sensor.measure(clean, room_geometry, seen, number)
        keep = (measured > 0) & (clean < 4.8)
        sigma = model.depth_noise_m + model.depth_noise_per_m * clean**2
        error = (measured - clean) / sigma
        scaled.append(error[keep])
        depths.append(clean[keep])
        both = keep[:, 1:] & keep[:, :-1]
        neighbors.append((error[:, 1:] * error[:, :-1])[both].mean())
        assert measured.max() <= model.max_depth_m
        assert not ((measured > 0) & (clean > 5.2)).any()
    error, depth = np.concatenate(scaled), np.concatenate(depths)
    for low, high in ((1.0, 2.0), (2.0, 3.0), (3.0, 4.0)):
        part = error[(depth > low) & (depth < high)]
        assert len(part) > 20_000
        assert abs(part.mean()) < 0.05 and 0.93 < part.std() < 1.07
    assert 0.1 < np.mean(neighbors) < 0.8, "noise is a little correlated"


def test_depth_steps_and_shadow_beside_a_near_object():
    b = Builder(np.random.default_rng(0), texel_m=0.02)
    gray = painted((128.0, 128.0, 128.0))
    with b.frame(0, 3.0, 0, np.pi):  # a wall 3 m in front of a camera that looks along +y
        b.wall_panel(-4, -3, 8, 6, gray)
    with b.frame(0, 1.0, 0, np.pi):
        b.wall_panel(-0.1, -0.1, 0.2, 0.2, gray)
    facets = pack(b.surfaces, [s.albedo for s in b.surfaces])
    seen = rasterize(facets, pose_of_state(np.array([0, 0, 0, np.pi / 2, 0, 0])), CAMERA)
    clean = depth_of(seen)
    quiet = SensorModel(depth_noise_m=0.0, depth_noise_per_m=0.0)
    valid = np.stack([
        Sensor(quiet, CAMERA, seed).measure(clean, facets, seen, 0)[241] > 0 for seed in range(9)
    ]).mean(0) > 0.5  # random holes differ by seed, the shadow does not
    near = np.flatnonzero(clean[241] < 2)
    left, right = near[0], near[-1]
    width = CAMERA.fx * 0.075 * (1 / 1.0 - 1 / 3.0)
    gap = left - 1 - np.flatnonzero(valid[:left])[-1]
    assert abs(gap - width) <= 2
    assert valid[right + 1 : right + 30].all() and valid[left : right + 1].all()
    measured = Sensor(quiet, CAMERA, 0).measure(clean, facets, seen, 0)
    steps = CAMERA.fx * 0.075 / measured[measured > 0] / 0.125
    np.testing.assert_allclose(steps, np.rint(steps), atol=2e-3)


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


def test_frames_look_like_a_camera(frames):
    for item in frames:
        image = item.frame.image
        assert image.shape == (480, 640, 3) and 50 < image.mean() < 190
        assert image.std() > 20, "hardly any contrast"
        assert 0.7 < (item.frame.depth_m > 0).mean() < 1.0
        assert not item.mover_mask.any()
    still = frames[1].frame.image.astype(int) - frames[0].frame.image
    assert 0.5 < np.abs(still).mean() < 12, "noise changes, the scene at rest does not"


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


@pytest.mark.parametrize("name", ["room", "corridor"])
def test_motion_is_hand_held_and_keeps_its_distance(name, room, corridor):
    world = room if name == "room" else corridor
    poses = poses_of(world)
    assert len(poses) >= (600 if name == "room" else 1000)
    speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * RATE_HZ
    relative = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
    cosine = np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)
    turn = np.degrees(np.arccos(cosine)) * RATE_HZ
    assert speed.max() < (0.8 if name == "room" else 1.2) and turn.max() < 65
    assert speed[:5].max() < 0.15 and turn[:5].max() < 6, "starts gently"
    assert turn.max() > 20 and speed.mean() > 0.2
    assert np.abs(np.diff(speed)).max() * RATE_HZ < 4.0, "no jerks"
    assert world.scene.clearance_m(poses[:, :3, 3]).min() > 0.4


def test_views_have_depth_in_range(room, room_geometry, corridor):
    for world, facets in ((room, room_geometry), (corridor, unlit(corridor))):
        depths = [depth_of(rasterize(facets, T, CAMERA)) for T in poses_of(world, 90)]
        in_range = np.array([np.mean((d > 0.4) & (d < 5)) for d in depths])
        assert in_range.mean() > 0.8 and in_range.min() > 0.5
        assert all(0.8 < d.mean() < 4.2 for d in depths)
        assert min(d.min() for d in depths) > 0.4


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


def test_a_short_sequence_begins_like_a_long_one(room):
    long = room.path(2 * room.default_frames)
    for time_s in (0.0, 7.3, 20.0):
        np.testing.assert_allclose(long.pose(time_s), room.path().pose(time_s), atol=1e-12)


def test_edges_and_mip_levels():
    facet_HW = np.zeros((5, 5), np.int16)
    facet_HW[2, 2] = 1
    assert facet_edges(facet_HW).sum() == 5
    mip = MipMap(generator(0, "mip").integers(0, 255, (64, 128, 3)).astype(np.uint8))
    assert mip.level(2).shape == (32, 64, 3) and min(mip.level(mip.last_level).shape[:2]) >= 4


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
