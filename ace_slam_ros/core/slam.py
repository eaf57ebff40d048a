"""SLAM in one object: tracker and mapper in turn, each frame and each keyframe in full.

    slam = Slam(SlamConfig())
    for frame in source:
        result = slam.process(frame)
    slam.save(Path("map"))

Results repeat bit for bit. `apps.realtime` runs the same tracker and mapper beside each other, as
the ROS nodes do.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .encoders.loading import load_encoder
from .errors import ConfigError
from .mapping.mapper import Mapper
from .maps.map_folder import load_map
from .runtime.device import choose_device
from .tracking.result import TrackingHints, TrackResult
from .tracking.tracker import Tracker

if TYPE_CHECKING:
    from .config.sections import SlamConfig
    from .data.frame import Frame
    from .encoders.base import Encoder
    from .geometry.arrays import Float64Array
    from .maps.manifest import MapManifest


class Slam:
    """Tracks every frame and learns every keyframe before the next frame.

    Attributes:
        encoder, tracker, mapper: its parts; in localization mode the mapper stays empty.
        tracking_cpu_ms: CPU time of this thread that tracking of the last frame took, with all
            that the tracker does after its pose; without the mapper.
    """

    def __init__(
        self, config: SlamConfig, encoder: Encoder | None = None, *, map_dir: Path | None = None
    ) -> None:
        """Start a map, or go on with a saved one.

        Args:
            config: all parameters.
            encoder: the frozen encoder, default the one that `config` names.
            map_dir: the map to continue, or to localize in.

        Raises:
            ConfigError: localization without a map.
            EncoderError: the encoder cannot be loaded.
            MapError: the map cannot be used.
        """
        self._config = config
        self.encoder = encoder or load_encoder(config.encoder, choose_device(config.device))
        self.tracker = Tracker(config, self.encoder)
        self.mapper = Mapper(config, self.encoder, map_id=self.tracker.map_id)
        self._version = 0
        self.tracking_cpu_ms = 0.0
        if map_dir is not None:
            self._publish(open_map(self.mapper, map_dir, config, self.encoder))
        elif config.localization_only:
            raise ConfigError("mode=localization needs a map to localize in")

    def process(self, frame: Frame, hints: TrackingHints | None = None) -> TrackResult:
        """Track a frame, learn what it brings.

        Args:
            frame: the next frame.
            hints: what others know of the camera at its stamp.
        """
        started_s = time.thread_time()
        result = self.tracker.track(frame, hints or TrackingHints())
        result = result.with_work(self.tracker.work())
        self.tracking_cpu_ms = (time.thread_time() - started_s) * 1e3
        if result.keyframes and not self._config.localization_only:
            for keyframe in result.keyframes:
                self.mapper.add_keyframe(keyframe, result.map_id)
            if self.mapper.work(float("inf")):
                self._publish(self.mapper.export_head())
        return result

    def save(self, path: Path, T_groundtruth_map: Float64Array | None = None) -> MapManifest:
        """Write the map; see `Mapper.save`."""
        return self.mapper.save(path, T_groundtruth_map)

    def _publish(self, head: bytes) -> None:
        self._version += 1
        self.tracker.set_head(head, self._version)


def open_map(mapper: Mapper, map_dir: Path, config: SlamConfig, encoder: Encoder) -> bytes:
    """Return the head weights of a map; unless it is only localized in, the mapper continues it.

    Raises:
        MapError: the map cannot be used.
    """
    if config.localization_only:
        return load_map(map_dir, encoder_hash=encoder.hash).head
    mapper.load(map_dir)
    return mapper.export_head()
