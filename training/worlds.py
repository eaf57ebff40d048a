"""Training pairs from rendered worlds: true viewpoint change, occlusion, and change of light."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pairs import Float64Array, Pair
from photometric import UInt8Image, photometric
from tqdm import tqdm

from ace_slam_ros.synth.worlds import CAMERA, make_world

#: Worlds of training have seeds from here on, those of tests and benchmarks lower ones.
FIRST_SEED = 1000
#: Scenes: a room by day and in the evening, and corridors.
SCENES = (("room", "lighting"),) * 5 + (("corridor",),)
_DEPTH_STEP = 2  # depth is kept at half the resolution


@dataclass(frozen=True)
class Shots:
    """Frames of one scene: (F, 480, 640) uint8, (F, 240, 320) meters, camera poses, partners.

    Attributes:
        partners_P2: (P, 2) pairs of frames that see enough of the same surfaces.
    """

    gray_FHW: UInt8Image
    depth_m_Fhw: npt.NDArray[np.float16]
    T_world_cam_F44: Float64Array
    partners_P2: npt.NDArray[np.int64]


def render_scene(number: int, path: Path) -> Path:
    """Render the frames of scene `number` into one .npz file."""
    cv2.setNumThreads(1)
    if path.exists():
        return path
    names = SCENES[number % len(SCENES)]
    gray, depth, poses = [], [], []
    for name in names:
        world = make_world(name, FIRST_SEED + number)
        step = world.default_frames * len(names) // 72
        for item in world.frames(start=number % step, step=step):
            gray.append(item.frame.gray)
            depth.append(item.clean_depth_m[::_DEPTH_STEP, ::_DEPTH_STEP].astype(np.float16))
            poses.append(item.T_world_cam_44)
    temporary = path.with_suffix(".tmp.npz")
    depths_Fhw, poses_F44 = np.stack(depth), np.stack(poses)
    np.savez(temporary, gray=np.stack(gray), depth=depths_Fhw, poses=poses_F44,
             partners=partners(depths_Fhw, poses_F44))
    temporary.replace(path)
    return path


def render_scenes(folder: Path, count: int, workers: int) -> list[Path]:
    """Render `count` scenes, those not there yet, in parallel."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scene_{n:03d}.npz" for n in range(count)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        list(tqdm(pool.map(render_scene, range(count), paths), total=count,
                  desc="rendering worlds"))
    return paths


def load_shots(path: Path) -> Shots:
    """Read a rendered scene."""
    with np.load(path) as stored:
        return Shots(stored["gray"], stored["depth"], stored["poses"], stored["partners"])


def partners(
    depth_m_Fhw: npt.NDArray[np.float16], T_world_cam_F44: Float64Array, least: float = 0.2
) -> npt.NDArray[np.int64]:
    """Return (P, 2) pairs (a, b) of frames where b sees at least that share of a's view."""
    coarse = 10
    h, w = depth_m_Fhw.shape[1:]
    ys, xs = np.mgrid[coarse // 2:h:coarse, coarse // 2:w:coarse].reshape(2, -1)
    pixels = np.stack([xs, ys], axis=1) * float(_DEPTH_STEP)
    found = []
    for a, T_a in enumerate(T_world_cam_F44):
        z = depth_m_Fhw[a, ys, xs].astype(np.float64)
        seen = z > 0
        points = CAMERA.unproject(pixels[seen], z[seen]) @ T_a[:3, :3].T + T_a[:3, 3]
        for b in range(len(depth_m_Fhw)):
            if b == a or len(points) == 0:
                continue
            _, ok = visible(points, depth_m_Fhw[b], T_world_cam_F44[b])
            if ok.sum() >= least * len(z):
                found.append((a, b))
    return np.array(found, np.int64).reshape(-1, 2)


def visible(
    points_world_N3: Float64Array, depth_m_hw: npt.NDArray[np.float16],
    T_world_cam_44: Float64Array,
) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """Return pixels (N, 2) of world points in a frame and which of them the frame really sees."""
    h, w = depth_m_hw.shape
    local = (points_world_N3 - T_world_cam_44[:3, 3]) @ T_world_cam_44[:3, :3]
    pixels = CAMERA.project(local)
    in_front = local[:, 2] > 0.1
    at = np.rint(np.where(in_front[:, None], pixels, -1) / _DEPTH_STEP).astype(np.int64)
    inside = in_front & (at >= 0).all(axis=1) & (at[:, 0] < w) & (at[:, 1] < h)
    z = np.zeros(len(local))
    z[inside] = depth_m_hw[at[inside, 1], at[inside, 0]]
    return pixels, inside & (np.abs(z - local[:, 2]) < 0.01 + 0.015 * local[:, 2])


def _window(rng: np.random.Generator, center_2: Float64Array, view: int) -> Float64Array:
    """Return (3, 3) mapping frame pixels to a view: a turned, zoomed window near `center_2`."""
    zoom = np.exp(rng.uniform(np.log(0.75), np.log(1.5)))
    angle = np.deg2rad(rng.normal(0, 10))
    c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
    R = np.array([[c, -s], [s, c]])
    target = view / 2 + rng.uniform(-0.25, 0.25, 2) * view
    out = np.eye(3)
    out[:2, :2], out[:2, 2] = R, target - R @ center_2
    return out


def world_pair(rng: np.random.Generator, shots: Shots, view: int, count: int) -> Pair:
    """Two windows of two frames of a scene that see the same surfaces."""
    a, b = shots.partners_P2[int(rng.integers(len(shots.partners_P2)))]
    anchor_a = rng.uniform((80, 80), (560, 400), (32, 2))
    _, anchor_b, ok = _across(anchor_a, shots, int(a), int(b))
    pick = int(np.argmax(ok))  # without a visible anchor the pair has few correspondences
    M_a, M_b = _window(rng, anchor_a[pick], view), _window(rng, anchor_b[pick], view)
    images = [
        photometric(rng, cv2.warpAffine(
            shots.gray_FHW[k], M[:2], (view, view), flags=cv2.INTER_AREA,
            borderMode=cv2.BORDER_REFLECT_101))
        for k, M in ((a, M_a), (b, M_b))]
    margin = 8.0
    pixels_a = rng.uniform(margin, view - margin, (count, 2))
    in_a = (pixels_a - M_a[:2, 2]) @ np.linalg.inv(M_a[:2, :2]).T
    _, in_b, seen = _across(in_a, shots, int(a), int(b))
    pixels_b = in_b @ M_b[:2, :2].T + M_b[:2, 2]
    valid = seen & ((pixels_b > margin) & (pixels_b < view - margin)).all(axis=1)
    return Pair(images[0], images[1], pixels_a.astype(np.float32),
                np.where(valid[:, None], pixels_b, 0).astype(np.float32), valid)


def _across(
    pixels_N2: Float64Array, shots: Shots, a: int, b: int
) -> tuple[npt.NDArray[np.bool_], Float64Array, npt.NDArray[np.bool_]]:
    """Carry pixels of frame a to frame b: (has depth in a, pixels in b, visible in b)."""
    h, w = shots.depth_m_Fhw.shape[1:]
    at = np.rint(pixels_N2 / _DEPTH_STEP).astype(np.int64)
    inside = (at >= 1).all(axis=1) & (at[:, 0] < w - 1) & (at[:, 1] < h - 1)
    at = np.where(inside[:, None], at, 1)
    z = shots.depth_m_Fhw[a, at[:, 1], at[:, 0]].astype(np.float64)
    beside = shots.depth_m_Fhw[a, at[:, 1] + 1, at[:, 0] + 1].astype(np.float64)
    inside &= (z > 0) & (np.abs(z - beside) < 0.05 * z)  # no point on a depth edge
    z = np.where(inside, z, 1.0)
    T_a = shots.T_world_cam_F44[a]
    points = CAMERA.unproject(pixels_N2, z) @ T_a[:3, :3].T + T_a[:3, 3]
    pixels_b, seen = visible(points, shots.depth_m_Fhw[b], shots.T_world_cam_F44[b])
    return inside, pixels_b, inside & seen
