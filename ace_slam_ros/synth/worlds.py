"""The worlds: scene, light, camera path and sensor of each name, and the frames they give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..core.data.camera import Camera
from ..core.data.frame import Frame
from ..core.data.trajectory import Trajectory
from ..core.errors import ConfigError
from ..core.geometry.se3 import invert_pose
from .motion import CameraPath, Limits, Tremor, spline_path, wander
from .rendering.lighting import Lighting, bake
from .rendering.render import Facets, Visibility, pack, rasterize, shade
from .rendering.textures import generator
from .scenes import corridor, room
from .scenes.people import Walker, build_people, walk_in_view
from .sensor import Sensor, SensorModel, facet_edges, motion_blur

if TYPE_CHECKING:
    from ..core.geometry.arrays import Float32Array, Float64Array, UInt8Image
    from .rendering.scene import Scene, Surface

WORLD_NAMES = ("room", "corridor", "loop", "dynamic", "lighting")
RATE_HZ = 30
#: Stamp of the first frame of every sequence.
START_NS = 1_700_000_000_000_000_000
CAMERA = Camera(640, 480, 525.4, 525.9, 318.7, 241.3)
_PEOPLE = 3


@dataclass(frozen=True)
class SynthFrame:
    """One frame and what a real sensor would not tell.

    Attributes:
        frame: image and depth with all sensor effects.
        T_world_cam_44: exact camera (optical frame) to world pose at the stamp.
        clean_depth_m: (H, W) float32 exact depth, 0 where nothing is seen.
        mover_mask: (H, W) bool, pixels of moving people.
    """

    frame: Frame
    T_world_cam_44: Float64Array
    clean_depth_m: Float32Array
    mover_mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """A noise-free view: image (H, W, 3) as `lighting` encodes it, exact depth, visibility."""

    image: UInt8Image
    depth_m: Float32Array
    visibility: Visibility
    facets: Facets


@dataclass(frozen=True)
class World:
    """A world of one name and seed; everything about it is deterministic.

    Attributes:
        name, seed: what it was made from.
        lighting: its light.
        sensor: the camera's imperfections.
        camera: intrinsics of all frames.
        default_frames: frames of a sequence when no number is given.
        movers: whether people walk through it.
    """

    name: str
    seed: int
    lighting: Lighting
    sensor: SensorModel
    camera: Camera
    default_frames: int
    movers: bool

    @cached_property
    def scene(self) -> Scene:
        """Static geometry with its unlit textures."""
        if self.name in corridor.LAYOUTS:
            return corridor.build_corridor(self.seed, corridor.LAYOUTS[self.name])
        return room.build_room(self.seed)

    @cached_property
    def facets(self) -> Facets:
        """Lit, tiled facets; people come last, in their own part frames."""
        surfaces: list[Surface] = list(self.scene.surfaces)
        textures = bake(surfaces, self.scene.boxes, self.lighting, self.seed)
        if self.movers:
            bodies, light = build_people(self.seed, _PEOPLE)
            surfaces += bodies
            textures += bake(bodies, (), light, self.seed)
        return pack(surfaces, textures)

    def path(self, frames: int | None = None) -> CameraPath:
        """Return the camera path, long enough for a number of frames."""
        count = max(self.default_frames, frames or 0)
        # The margin lets the exposure of the last frame end.
        seconds = count / RATE_HZ + 0.5
        if self.name in corridor.LAYOUTS:
            return corridor.camera_path(self.seed, corridor.LAYOUTS[self.name], seconds)
        rng = generator(self.seed, f"tremor {_path_name(self.name)}")
        tremor = Tremor.draw(rng, 0.003, 0.005)
        limits = Limits(0.62, np.radians(48.0), 0.75)
        knots = int(seconds / limits.knot_s) + 8
        purpose = f"path {_path_name(self.name)}"
        half_2 = (room.LENGTH_M / 2, room.WIDTH_M / 2)
        states = wander(generator(self.seed, purpose), room.CAMERA_CENTRE_3,
                        room.CAMERA_HALF_3 - 0.02, half_2, knots)
        return spline_path(states, limits, tremor)

    def trajectory(self, frames: int | None = None) -> Trajectory:
        """Return the exact camera poses of the first frames, in the world."""
        total = self.default_frames if frames is None else frames
        path = self.path(total)
        stamps = np.array([_stamp_ns(n) for n in range(total)], np.int64)
        poses = [path.pose(n / RATE_HZ) for n in range(total)]
        return Trajectory(stamps, np.array(poses).reshape(-1, 4, 4))

    def walkers(self, path: CameraPath) -> tuple[Walker, ...]:
        """Return the people's walks for a camera path; empty without movers."""
        if not self.movers:
            return ()
        times = np.arange(0, path.duration_s, 1 / RATE_HZ)
        poses = np.stack([path.pose(float(t)) for t in times])
        return tuple(
            walk_in_view(self.seed, k, times, poses, (2.3, 1.7)) for k in range(_PEOPLE))

    def placed(self, walkers: tuple[Walker, ...], time_s: float) -> Facets:
        """Return the facets with everybody where they are at a time."""
        if not walkers:
            return self.facets
        return self.facets.moved(np.concatenate([w.parts(time_s) for w in walkers]))

    def view(self, T_world_cam_44: Float64Array, facets: Facets | None = None) -> View:
        """Render without any sensor effect."""
        facets = self.facets if facets is None else facets
        visibility = rasterize(facets, T_world_cam_44, self.camera)
        return View(shade(facets, visibility, T_world_cam_44, self.camera),
                    _depth_of(visibility), visibility, facets)

    def frames(
        self, count: int | None = None, start: int = 0, step: int = 1
    ) -> Iterator[SynthFrame]:
        """Yield the frames of the sequence at 30 Hz; a short sequence begins like a long one.

        Every frame depends on its number alone, so that processes can share the work.

        Args:
            count: frames of the whole sequence, the world's own number when None.
            start: number of the first frame to yield.
            step: every which frame to yield.
        """
        total = self.default_frames if count is None else count
        path = self.path(total)
        walkers = self.walkers(path)
        sensor = Sensor(self.sensor, self.camera, self.seed)
        for number in range(start, total, step):
            yield self._frame(number, path, walkers, sensor)

    def _frame(
        self, number: int, path: CameraPath, walkers: tuple[Walker, ...], sensor: Sensor
    ) -> SynthFrame:
        time_s = number / RATE_HZ
        T_world_cam = path.pose(time_s)
        facets = self.placed(walkers, time_s)
        visibility = rasterize(facets, T_world_cam, self.camera)
        clean_depth = _depth_of(visibility)
        half = self.sensor.shutter_s / 2
        start, end = path.pose(max(0.0, time_s - half)), path.pose(time_s + half)
        image = motion_blur(shade(facets, visibility, T_world_cam, self.camera),
                            visibility.inverse_depth_HW, invert_pose(end) @ start, self.camera)
        image = sensor.expose(image, facet_edges(visibility.facet_HW), number, time_s)
        depth = sensor.measure(clean_depth, facets, visibility, number)
        moving = np.append(facets.part_N >= 0, False)  # index -1 (nothing seen) is the last
        return SynthFrame(Frame(_stamp_ns(number), image, depth, self.camera), T_world_cam,
                          clean_depth, moving[visibility.facet_HW])


def make_world(name: str, seed: int, movers: bool | None = None) -> World:
    """Make a world; its scene and textures are built when first needed, in a few seconds.

    Args:
        name: room, corridor, loop, dynamic or lighting; `lighting` is the `room` of the same seed
            in another light, seen along another path.
        seed: any non-negative integer.
        movers: False gives the static twin of `dynamic`; the default follows the name.

    Raises:
        ConfigError: the name is unknown or the seed is negative.
    """
    if name not in WORLD_NAMES:
        raise ConfigError(f"unknown world '{name}', known: {', '.join(WORLD_NAMES)}")
    if seed < 0:
        raise ConfigError(f"world seed {seed} is negative: use 0 or more")
    people = name == "dynamic" if movers is None else movers
    if name in corridor.LAYOUTS:
        layout = corridor.LAYOUTS[name]
        return World(name, seed, corridor.corridor_light(layout), SensorModel(), CAMERA,
                     corridor.default_frames(seed, layout, RATE_HZ), False)
    evening = name == "lighting"
    light = room.evening_light(seed) if evening else room.day_light(seed)
    model = SensorModel()
    if evening:
        model = SensorModel(exposure=1.25, drift=0.16, white_balance=(0.97, 1.0, 1.14),
                            shutter_s=0.014, image_noise=3.2)
    return World(name, seed, light, model, CAMERA, 750, people)


def _stamp_ns(number: int) -> int:
    return START_NS + round(number * 1_000_000_000 / RATE_HZ)


def _path_name(name: str) -> str:
    """Worlds that share a camera path share its random generators."""
    return "evening" if name == "lighting" else "day" if name == "room" else name


def _depth_of(visibility: Visibility) -> Float32Array:
    """Exact depth (H, W) in meters, 0 where nothing is seen."""
    inverse = visibility.inverse_depth_HW
    return np.divide(1.0, inverse, out=np.zeros_like(inverse), where=inverse > 0)
