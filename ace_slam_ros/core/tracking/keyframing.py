"""When a frame becomes a keyframe, of the tracker itself and of the mapper."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.sections import SlamConfig
from ..data.features import Features
from ..data.frame import Frame
from ..data.keyframe import Keyframe
from ..geometry.arrays import Float64Array
from ..geometry.se3 import invert_pose
from ..odometry.local_map import LocalMap
from ..odometry.motion_model import Motion
from .moving_objects import SeenThrough
from .pose_averaging import Anchor


@dataclass(frozen=True)
class NewKeyframe:
    """A local keyframe that the mapper is to get; `reference` is the id of a mapped neighbor."""

    identifier: int
    frame: Frame
    reference: int | None


class KeyframeMaker:
    """Adds frames to the local map and describes them for the mapper.

    Attributes:
        next_id: of the next keyframe.
    """

    def __init__(
        self, config: SlamConfig, local: LocalMap, anchor: Anchor, seen_through: SeenThrough
    ) -> None:
        self._limits = config.keyframe
        self._localization = config.ros.mode == "localization"
        self._local, self._anchor, self._seen_through = local, anchor, seen_through
        self.next_id = 0

    def wanted(self, frame: Frame, pose: Float64Array) -> bool:
        """Whether the view is far enough from every local keyframe, or brings texture.

        Keyframes made while anchoring are not in the map, so that they do not count afterwards.
        """
        known = self._anchor.first is None and not self._localization
        return (self._local.is_new_view(pose, self._limits, mapped_only=known)
                or self._local.brings_texture(frame, pose))

    def add(
        self, frame: Frame, pose: Float64Array, covariance_66: Float64Array,
        motion: Motion | None, placed: bool,
    ) -> NewKeyframe | None:
        """Make the frame a local keyframe; return it when it is for the mapper too.

        The mapper gets it if its pose is well `placed`. Until it is sent it counts as mapped.
        """
        alone = self._local.reference(pose) is None
        reference = self._local.reference(pose, mapped_only=True)
        identifier = self.next_id
        if not self._local.add(identifier, frame, pose, covariance_66, motion,
                               self._seen_through.standing, keep=reference):
            return None
        self.next_id += 1
        if not placed and alone:
            self._anchor.start(identifier)
        if not placed or self._anchor.first is not None:
            return None
        self._local.mark_mapped(identifier)
        return NewKeyframe(identifier, frame, reference)

    def add_first(
        self, frame: Frame, pose: Float64Array, covariance_66: Float64Array
    ) -> NewKeyframe:
        """Make the frame the first of a map or of a segment of it."""
        self._local.add(self.next_id, frame, pose, covariance_66)
        self.next_id += 1
        return NewKeyframe(self.next_id - 1, frame, None)

    def for_mapper(self, new: NewKeyframe, features: Features) -> Keyframe:
        """Return what the mapper gets, placed as the local map knows it now; watch it."""
        self._local.mark_mapped(new.identifier)
        pose = self._local.pose(new.identifier)
        reference = None if new.reference is None else (
            new.reference, invert_pose(self._local.pose(new.reference)) @ pose)
        return self._seen_through.watch(Keyframe.from_features(
            new.identifier, new.frame.stamp_ns, pose, features, new.frame.camera, reference))
