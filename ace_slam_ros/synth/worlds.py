"""The worlds: scene, light, camera path and sensor of each name, and the frames they give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..core.data.camera import Camera
from ..core.data.frame import Frame
from ..core.data.trajectory import Trajectory
from ..core.errors import ConfigError
from ..core.geometry.se3 import invert_pose
from .exposure import AutoExposure, long_exposure
from .fast_motion import Haste, hurried_path
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
MOTION_NAMES = ("calm", "fast")
_HASTE = Haste((0.35, 1.05), np.radians(146.0))


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
        motion: of the camera, one of `MOTION_NAMES`.
    """

    name: str
    seed: int
    lighting: Lighting
    sensor: SensorModel
    camera: Camera
    default_frames: int
    movers: bool
    motion: str = "calm"

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
            make = corridor.fast_path if self.motion == "fast" else corridor.camera_path
            return make(self.seed, corridor.LAYOUTS[self.name], seconds)
        if self.motion == "fast":
            return self._fast_path(seconds)
        rng = generator(self.seed, f"tremor {_path_name(self.name)}")
        tremor = Tremor.draw(rng, 0.003, 0.005)
        limits = Limits(0.62, np.radians(48.0), 0.75)
        knots = int(seconds / limits.knot_s) + 8
        purpose = f"path {_path_name(self.name)}"
        half_2 = (room.LENGTH_M / 2, room.WIDTH_M / 2)
        states = wander(generator(self.seed, purpose), room.CAMERA_CENTRE_3,
                        room.CAMERA_HALF_3 - 0.02, half_2, knots)
        return spline_path(states, limits, tremor)

    def _fast_path(self, seconds: float) -> CameraPath:
        purpose = f"fast path {_path_name(self.name)}"
        half_2 = (room.LENGTH_M / 2, room.WIDTH_M / 2)
        states = wander(generator(self.seed, purpose), room.CAMERA_CENTRE_3,
                        room.CAMERA_HALF_3 - 0.02, half_2, int(seconds / 0.25) + 8)
        return hurried_path(self.seed, purpose, states[:, :4] * (1, 1, 1, 0), seconds, _HASTE)

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
        image, visibility = self._render(T_world_cam_44, facets)
        return View(image, _depth_of(visibility), visibility, facets)

    def picture(self, T_world_cam_44: Float64Array, number: int = 0) -> SynthFrame:
        """Return what a camera at rest sees at any pose, with the noise of the `number`-th frame.

        People stand where they begin.
        """
        facets = self.placed(self.walkers(self.path()), 0.0)
        image, visibility = self._render(T_world_cam_44, facets)
        return self._sensed(Sensor(self.sensor, self.camera, self.seed), image, visibility,
                            facets, T_world_cam_44, number)

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
        control = None if self.motion == "calm" else AutoExposure(
            lambda time_s: self._glimpse(path.pose(time_s), self.placed(walkers, time_s)))
        for number in range(start, total, step):
            yield self._frame(number, path, walkers, sensor, control)

    def _frame(
        self, number: int, path: CameraPath, walkers: tuple[Walker, ...], sensor: Sensor,
        control: AutoExposure | None,
    ) -> SynthFrame:
        time_s = number / RATE_HZ
        T_world_cam, facets = path.pose(time_s), self.placed(walkers, time_s)
        if control is None:
            half = self.sensor.shutter_s / 2
            start, end = path.pose(max(0.0, time_s - half)), path.pose(time_s + half)
            image, visibility = self._render(T_world_cam, facets)
            image = motion_blur(
                image, visibility.inverse_depth_HW, invert_pose(end) @ start, self.camera)
        else:
            image, visibility = long_exposure(
                lambda at_s: self._render(path.pose(at_s), self.placed(walkers, at_s)),
                path.pose, time_s, self.sensor.shutter_s, self.camera)
        gain = 1.0 if control is None else control.gain(time_s)
        return self._sensed(sensor, image, visibility, facets, T_world_cam, number, gain)

    def _sensed(
        self, sensor: Sensor, image: UInt8Image, visibility: Visibility, facets: Facets,
        T_world_cam_44: Float64Array, number: int, gain: float = 1.0,
    ) -> SynthFrame:
        """Return what the sensor makes of a rendered image: noise, exposure, measured depth."""
        clean_depth = _depth_of(visibility)
        image = sensor.expose(
            image, facet_edges(visibility.facet_HW), number, number / RATE_HZ, gain)
        depth = sensor.measure(clean_depth, facets, visibility, number)
        moving = np.append(facets.part_N >= 0, False)  # index -1 (nothing seen) is the last
        return SynthFrame(Frame(_stamp_ns(number), image, depth, self.camera), T_world_cam_44,
                          clean_depth, moving[visibility.facet_HW])

    def _render(
        self, T_world_cam_44: Float64Array, facets: Facets, camera: Camera | None = None
    ) -> tuple[UInt8Image, Visibility]:
        camera = camera or self.camera
        visibility = rasterize(facets, T_world_cam_44, camera)
        return shade(facets, visibility, T_world_cam_44, camera), visibility

    def _glimpse(self, T_world_cam_44: Float64Array, facets: Facets) -> UInt8Image:
        """Render an eighth of the size, for the exposure meter."""
        return self._render(T_world_cam_44, facets, self.camera.scaled(1 / 8))[0]


def make_world(
    name: str, seed: int, movers: bool | None = None, motion: str = "calm"
) -> World:
    """Make a world; its scene and textures are built when first needed, in a few seconds.

    Args:
        name: room, corridor, loop, dynamic or lighting; `lighting` is the `room` of the same seed
            in another light, seen along another path.
        seed: any non-negative integer.
        movers: False gives the static twin of `dynamic`; the default follows the name.
        motion: `calm`, or `fast`: half a meter per second, swings of 150 degrees per second,
            exposures of a dim room.

    Raises:
        ConfigError: the name or the motion is unknown, or the seed is negative.
    """
    if name not in WORLD_NAMES:
        raise ConfigError(f"unknown world '{name}', known: {', '.join(WORLD_NAMES)}")
    if motion not in MOTION_NAMES:
        raise ConfigError(f"unknown motion '{motion}', known: {', '.join(MOTION_NAMES)}")
    if seed < 0:
        raise ConfigError(f"world seed {seed} is negative: use 0 or more")
    people = name == "dynamic" if movers is None else movers
    fast = motion == "fast"
    model = SensorModel()
    if name in corridor.LAYOUTS:
        layout = corridor.LAYOUTS[name]
        light, people = corridor.corridor_light(layout), False
        frames = (corridor.fast_frames(layout, RATE_HZ) if fast
                  else corridor.default_frames(seed, layout, RATE_HZ))
    else:
        light, frames = room.day_light(seed), 750
        if name == "lighting":
            light = room.evening_light(seed)
            model = SensorModel(exposure=1.25, drift=0.16, white_balance=(0.97, 1.0, 1.14),
                                shutter_s=0.014, image_noise=3.2)
    if fast:
        model = replace(model, exposure=1.0, drift=0.0, shutter_s=1 / 60, image_noise=3.2)
    return World(name, seed, light, model, CAMERA, frames, people, motion)


def _stamp_ns(number: int) -> int:
    return START_NS + round(number * 1_000_000_000 / RATE_HZ)


def _path_name(name: str) -> str:
    """Worlds that share a camera path share its random generators."""
    return "evening" if name == "lighting" else "day" if name == "room" else name


def _depth_of(visibility: Visibility) -> Float32Array:
    """Exact depth (H, W) in meters, 0 where nothing is seen."""
    inverse = visibility.inverse_depth_HW
    return np.divide(1.0, inverse, out=np.zeros_like(inverse), where=inverse > 0)
