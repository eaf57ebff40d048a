"""What a live tracker does besides following the camera: in steps, when there is time for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..config.sections import TrackerConfig
from ..data.features import Features
from ..data.frame import Frame
from ..data.keyframe import Keyframe
from ..data.poses import PoseEstimate, RefinedPose
from ..geometry.arrays import Float64Array
from ..geometry.se3 import invert_pose
from ..localization.localizer import Localizer
from ..odometry.local_map import LocalMap
from ..odometry.motion_model import Motion, MotionModel
from ..runtime.steps import InParts
from .frame_budget import LONGEST_WAIT, FrameBudget
from .keyframing import KeyframeMaker, NewKeyframe
from .pose_averaging import Anchor
from .pose_selection import overrides
from .result import StageClock

#: Frames that the next part of a description waits at most: the next keyframe waits for its end.
_BETWEEN_PARTS = 1


@dataclass
class _Look:
    """A frame of known pose that waits to be described, and to be localized if that `is_due`.

    `keyframe` is what the mapper is to get of it, None when it is no keyframe.
    """

    frame: Frame
    refined: RefinedPose
    is_due: bool
    keyframe: NewKeyframe | None
    description: InParts[Features]

    @property
    def features(self) -> Features | None:
        """What the head can tell places by, once it is known."""
        return self.description.result

    @property
    def owes_keyframe(self) -> bool:
        """Whether the mapper waits for the description."""
        return self.keyframe is not None and self.features is None

    def carry(self, raw: PoseEstimate, T_map_cam: Float64Array) -> PoseEstimate:
        """Carry what scene coordinates say of the frame on to a later one, as tracked."""
        since = invert_pose(self.refined.T_map_cam) @ T_map_cam
        return replace(raw, T_map_cam=raw.T_map_cam @ since)


class LateWork:
    """Makes keyframes, has the head look at frames and adjusts the window of local keyframes.

    One frame at a time is looked at. The description of a keyframe serves the head as well when
    its look at a frame is due. The window has the time that is left when no frame is looked at.

    Attributes:
        doubts: the head's last look says that the camera is elsewhere.
    """

    def __init__(
        self, config: TrackerConfig, budget: FrameBudget, local: LocalMap,
        keyframes: KeyframeMaker, localizer: Localizer, anchor: Anchor, model: MotionModel,
    ) -> None:
        self._config, self._budget, self._local = config, budget, local
        self._keyframes, self._localizer = keyframes, localizer
        self._anchor, self._model = anchor, model
        self.clear()

    def clear(self) -> None:
        """Drop what waits."""
        self._look: _Look | None = None
        self.doubts = False

    def move(self, T_44: Float64Array) -> None:
        """Follow a correction of the map: T_map_cam becomes T_44 @ T_map_cam."""
        if self._look is not None:
            refined = self._look.refined
            self._look.refined = replace(refined, T_map_cam=T_44 @ refined.T_map_cam)

    def work(
        self, frame: Frame, refined: RefinedPose, motion: Motion | None, clock: StageClock
    ) -> tuple[PoseEstimate | None, Keyframe | None]:
        """Do what fits into the time of a frame whose pose is known.

        Returns:
            What scene coordinates say of the camera, and a keyframe for the mapper.
        """
        self.doubts = False
        if self._budget.head_due(True, looking=self._look is not None):
            self._look = self._look_at(frame, refined, is_due=True)
        self._add_keyframe(frame, refined, motion, clock)
        keyframe = self._describe(clock)
        raw = self._localize(refined.T_map_cam, clock)
        while self._look is None and (stage := self._local.next_step) and self._budget.fits(
                stage, clock.elapsed_ms):
            self._local.adjust_step()
            self._budget.took(stage, clock.lap(stage))
        return raw, keyframe

    def _add_keyframe(
        self, frame: Frame, refined: RefinedPose, motion: Motion | None, clock: StageClock
    ) -> None:
        """Make the frame a keyframe, once the last one is described and, best, adjusted."""
        look = self._look
        if look is not None and look.owes_keyframe or not self._keyframes.wanted(
                frame, refined.T_map_cam):
            return
        if self._budget.fits("keyframe", clock.elapsed_ms, ready=not self._local.next_step):
            new = self._keyframes.add(
                frame, refined.T_map_cam, refined.covariance_66, motion, placed=True)
            self._budget.took("keyframe", clock.lap("keyframe"))
            if new is not None:
                due = look is not None and look.is_due
                self._look = self._look_at(frame, refined, due, new)

    def _look_at(
        self, frame: Frame, refined: RefinedPose, is_due: bool, keyframe: NewKeyframe | None = None
    ) -> _Look:
        return _Look(frame, refined, is_due, keyframe,
                     InParts(self._localizer.describe_in_parts(frame)))

    def _describe(self, clock: StageClock) -> Keyframe | None:
        """Describe the frame that is looked at; return what the mapper gets of it."""
        look = self._look
        if look is None or look.features is not None:
            return None
        while look.features is None:
            patience = _BETWEEN_PARTS if look.description.begun else LONGEST_WAIT
            if not self._budget.fits("encode", clock.elapsed_ms, longest_wait=patience):
                return None
            look.description.step()
            self._budget.took("encode", clock.lap("encode"))
        if not look.is_due:
            self._look = None
        return None if look.keyframe is None else self._keyframes.for_mapper(
            look.keyframe, look.features)

    def _localize(self, T_map_cam: Float64Array, clock: StageClock) -> PoseEstimate | None:
        """End the look; return the scene-coordinate pose carried to a camera at `T_map_cam`."""
        look = self._look
        if look is None or look.features is None or not self._budget.fits(
                "localize", clock.elapsed_ms):
            return None
        self._look = None
        features = look.features.share(self._budget.feature_share(clock.elapsed_ms))
        raw = self._localizer.localize(features, self._model.segment, everywhere=False)
        self._budget.took("localize", clock.lap("localize"))
        if raw is None:
            return None
        self._anchor.pull(raw, look.refined)
        self.doubts = overrides(raw, look.refined, self._config, self._model.traveled_m)
        return look.carry(raw, T_map_cam)
