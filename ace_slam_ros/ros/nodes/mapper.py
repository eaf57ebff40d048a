"""The mapper node: keyframes in; head weights, map points, keyframe poses and saved maps out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import AceSlamError, ConfigError, MapError, SegmentError
from ...core.heads.factory import head_capacity_bytes
from ...core.heads.payload import with_answer
from ...core.mapping.mapper import Mapper
from ...core.maps.map_folder import back_up_larger, load_map
from ...core.maps.map_path import resolve_map_path
from ...core.runtime.priority import MAPPER_NICENESS
from ...msg import Keyframe as KeyframeMsg
from ...srv import LoadMap, SaveMap
from ...weights_ipc.writer import WeightsWriter
from ..inputs.keyframe_inbox import KeyframeInbox
from ..outputs.diagnostics import Report
from ..outputs.grid_topic import GridOutput
from ..outputs.map_topics import MapOutput
from ..process.early_stop import lost_while_loading
from ..qos import keyframe_qos, service_qos
from ..weights.announcement import read_announcement
from ..weights.link import Heartbeat, weights_schema
from ..weights.map_follower import MapFollower
from ..weights.session import CrashedMap, Session
from .base import SlamNode

if TYPE_CHECKING:
    from ...core.data.keyframe import Keyframe
    from ...core.maps.manifest import MapManifest

_IDLE_S = 0.2


class MapperNode(SlamNode):
    """Feeds the core's `Mapper` with keyframes and publishes what it learns."""

    describes_images = False
    niceness = MAPPER_NICENESS

    def __init__(self) -> None:
        super().__init__("mapper")
        ros = self.config.ros
        self.lost = lost_while_loading(ros.save_on_exit, self.config.mode, ros.map_dir)

    def setup(self) -> None:
        """Take the segment, restore a map, make publishers and services."""
        ros = self.config.ros
        self._localization_only = self.config.localization_only
        if self._localization_only and not ros.map_dir:
            raise ConfigError("mode=localization needs ros.map_dir (map:= in launch files)")
        schema = weights_schema(self.encoder)
        self._mapper = Mapper(self.config, self.encoder)
        self._follower = MapFollower(
            self._mapper.map_id, partial(read_announcement, self.segment))
        self._keyframes, self._head = 0, b""
        self._inbox = KeyframeInbox(
            self.encoder, self._follower, self.config.features.count, self.log_once)
        period_s = 0.0 if self._localization_only else self.config.mapper.autosave_s
        started_with = f"{self.config.mode} {ros.map_dir}"
        self._session = Session(self.segment, schema, period_s, started_with)
        crashed = self._session.crashed(self._localization_only)
        self._writer = WeightsWriter(
            self.segment, head_capacity_bytes(self.config, self.encoder), schema)
        self._heartbeat = Heartbeat(self._writer)
        try:
            self._restore(crashed)
        except Exception:
            self._close_segment()
            raise
        self._output = MapOutput(self, ros.map_frame)
        self._grid = GridOutput(self, self.config)
        self._own_services = [
            self.create_service(kind, name, self.guarded_service(handler),
                                qos_profile=service_qos(), callback_group=self.reentrant)
            for kind, name, handler in (
                (SaveMap, "save_map", self._save_map), (LoadMap, "load_map", self._load_map))
        ]

    def _close_segment(self) -> None:
        self._heartbeat.stop()
        self._writer.close()

    def abandon(self) -> None:
        """Remove a segment without weights; others let the next mapper resume the map."""
        writer = getattr(self, "_writer", None)
        if writer is not None and writer.version == 0:
            self._close_segment()

    def start(self) -> Callable[[], None]:
        """Subscribe to keyframes; the middleware replays the last ones, of whatever map."""
        self._subscription = self.create_subscription(
            KeyframeMsg, "keyframe", self._receive, keyframe_qos())
        self.lost = ""
        return self._step

    def pause_work(self) -> None:
        """Unsubscribe."""
        self.destroy_subscription(self._subscription)

    def teardown(self) -> None:
        """Save when asked to, and release the segment."""
        ros = self.config.ros
        self._take_keyframes()  # those that came while the worker stopped
        if not self._localization_only and ros.save_on_exit and not self._keyframes:
            self.get_logger().warning(f"no keyframes came: nothing is saved to {ros.map_dir}")
        if not self._localization_only and self._keyframes:
            try:
                if ros.save_on_exit:
                    folder = self._map_folder("")
                    manifest, kept = self._save(folder)
                    self.lost = ""
                    self.get_logger().info(
                        f"saved {manifest.keyframes} keyframes to {folder}{kept}")
                else:
                    self.get_logger().info("what was mapped since save_map is dropped; "
                                           "ros.save_on_exit keeps it")
            except AceSlamError as error:
                self.lost = f"the map is not saved: {error}"
        for service in self._own_services:
            self.destroy_service(service)
        self._output.close()
        self._grid.close()
        self._close_segment()
        self._session.remove(saved_map=not self.config.localization_only)

    def _restore(self, crashed: CrashedMap | None) -> None:
        """Load the map of a crashed session, else the one asked for."""
        if crashed is not None:
            if crashed.head:
                self._publish(crashed.head)  # at once: loading learns the map anew and takes time
            try:
                self._switch_map(crashed.path, crashed.localization_only)
                self.get_logger().info(
                    f"resumed map {self._follower.current} after a crash: "
                    f"{self._keyframes} keyframes, version {self._writer.version}")
                return
            except MapError as error:
                self.get_logger().error(f"the last session cannot be resumed: {error}")
        if not self.config.ros.map_dir:
            return
        map_dir = self._map_folder("")
        if self._localization_only or map_dir.exists():
            self._load(map_dir)
            self.get_logger().info(f"loaded {map_dir}: {self._keyframes} keyframes")
        else:
            self.get_logger().info(f"no map at {map_dir}: a new one begins, save_map writes it")

    def _load(self, path: Path) -> None:
        """Load and publish a map; one without keyframes can only be localized in."""
        stored = load_map(path, encoder_hash=self.encoder.hash)
        if stored.keyframes is not None or not self._localization_only:
            self._mapper.resume(stored)
        if stored.manifest.format_version.startswith("1."):
            self.get_logger().warning(
                f"{path} has map format {stored.manifest.format_version}: if `ace-slam run` made "
                "it, its z axis does not point up; then map again")
        self._keyframes = stored.manifest.keyframes
        self._inbox.clear()
        self._follower.move_to(stored.manifest.map_id)
        self._publish(stored.head if self._localization_only else self._mapper.export_head())

    def _publish(self, head: bytes) -> None:
        """Let everybody use a head; it says what the tracker began, as far as this node knows."""
        self._head = head
        try:
            self._writer.write(with_answer(head, self._follower.answered))
        except SegmentError as error:  # the heartbeat goes on trying
            self.log_once("segment", f"the weights do not reach the other nodes: {error}")

    # Callbacks, in the executor's thread --------------------------------------------------------

    def _receive(self, msg: KeyframeMsg) -> None:
        self._inbox.counts["keyframes_received"] += 1
        if not self._localization_only:
            self._inbox.put(msg)
            self.worker.notify()

    async def _save_map(
        self, request: SaveMap.Request, response: SaveMap.Response
    ) -> SaveMap.Response:
        if self._localization_only:
            raise MapError("localization never writes: mode=mapping, or load_map without "
                           "localization_only, makes the map one that can be saved")
        folder = self._map_folder(request.path)
        manifest, kept = await self.in_worker(lambda: self._save(folder))
        self._session.hurry()
        response.success, response.path = True, str(folder)
        response.map_bytes, response.keyframe_bytes = manifest.map_bytes, manifest.keyframe_bytes
        response.keyframes = manifest.keyframes
        response.message = f"{manifest.keyframes} keyframes written to {folder}{kept}"
        return response

    async def _load_map(
        self, request: LoadMap.Request, response: LoadMap.Response
    ) -> LoadMap.Response:
        path = self._map_folder(request.path)
        await self.in_worker(lambda: self._open(path, request.localization_only))
        response.map_id, response.keyframes = self._follower.current, self._keyframes
        response.success, response.weights_version = True, self._writer.version
        response.message = f"loaded {path}" + (
            ", it will not be changed" if self._localization_only else "")
        return response

    # Worker thread ------------------------------------------------------------------------------

    def _step(self) -> None:
        self._take_keyframes()
        if self._follower.stays(may_follow=not self._localization_only) and self._head:
            self._publish(self._head)
        more = self._learn(self.config.mapper.budget_ms * 1e-3)
        # Saving learns all that is left: not while there is much of it.
        if not (self._localization_only or self._mapper.backlog) and self._mapper.keyframe_count:
            self._session.save_when_due(
                (self._mapper.map_id, self._writer.version), self._mapper.save)
        if self._mapper.keyframe_count:
            self._output.show(self._mapper, self._writer.version)
            self._grid.show(self._mapper, self._writer.version)
        if not (self._inbox or more):
            self.worker.wait(_IDLE_S)

    def _take_keyframes(self) -> None:
        self._inbox.empty_into(self._add, has_map=lambda: self._keyframes > 0)

    def _add(self, keyframe: Keyframe, map_id: str) -> None:
        self._mapper.add_keyframe(keyframe, map_id)
        self._keyframes = self._mapper.keyframe_count + self._mapper.backlog

    def _learn(self, budget_s: float) -> bool:
        """Learn and improve for a time, publish the head if it changed; True if more is to do."""
        if not self._localization_only and self._mapper.work(
                budget_s, lambda: bool(self._inbox)):
            self._publish(self._mapper.export_head())
        return not self._localization_only and self._mapper.wants_work

    def _open(self, path: Path, localization_only: bool) -> None:
        self._switch_map(path, localization_only)
        self._session.note_loaded(path, self._follower.current, self._localization_only)

    def _switch_map(self, path: Path, localization_only: bool) -> None:
        before = self._localization_only
        self._localization_only = localization_only or self.config.localization_only
        try:
            self._load(path)
        except AceSlamError:
            self._localization_only = before
            raise

    def _map_folder(self, path: str) -> Path:
        chosen = path or self.config.ros.map_dir
        if not chosen:
            raise MapError("no folder given: fill in path, or set ros.map_dir")
        return resolve_map_path(chosen, self.config.ros.map_root)

    def _save(self, folder: Path) -> tuple[MapManifest, str]:
        """Write the map; return its manifest, and where a larger map that was there is kept."""
        self._take_keyframes()
        self._learn(float("inf"))  # `Mapper.save` would learn as well, and publish nothing
        if not self._mapper.keyframe_count:
            raise MapError("the map is empty: move the camera until keyframes arrive, then save")
        kept = back_up_larger(folder, self._mapper.map_id, self._mapper.keyframe_count)
        manifest = self._mapper.save(folder, frame_id=self.config.ros.map_frame)
        return manifest, "" if kept is None else f"; the larger map that was there is now {kept}"

    def report(self) -> Report:
        """Describe the map and its sources."""
        report = Report(values=self._inbox.counts | {
            "map_id": self._follower.current, "keyframes": self._keyframes,
            "backlog": self._mapper.backlog + len(self._inbox),
            "weights_version": self._writer.version,
            "mode": "localization" if self._localization_only else "mapping"})
        report.error(self._inbox.problem)
        report.error(self._heartbeat.problem)
        report.warn(self._session.problem)
        report.warn(self._grid.problem)
        if not self._keyframes:
            report.warn("no keyframes yet: is the tracker running and seeing the camera?")
        return report
