"""The work after a frame was tracked: keyframes, looks of the head, the window of keyframes.

Nothing of it does the frame's pose wait for. It is done in steps, when there is time for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..data.poses import AlignedPose, PoseEstimate
from ..data.submaps import SubmapMotions, corrected
from ..geometry.se3 import invert_pose
from ..runtime.steps import SteppedTask
from .pose_selection import Verdict, confirms, judge
from .scheduler import LONGEST_WAIT, Scheduler, Stage

if TYPE_CHECKING:
    from ..config.sections import TrackerConfig
    from ..data.features import Features
    from ..data.frame import Frame
    from ..data.keyframe import Keyframe
    from ..localization.localizer import Localizer
    from ..odometry.local_window import LocalWindow
    from ..odometry.motion_model import Motion, MotionModel
    from .keyframing import KeyframeMaker, NewKeyframe
    from .pose_averaging import PoseAveraging
    from .result import StageClock

#: Frames that the next part of a description waits at most: the next keyframe waits for its end.
_BETWEEN_PARTS = 1
#: So much farther than a keyframe is due from the others, it does not wait for their adjustment:
#: a fast turn would leave them all behind.
_OVERDUE = 1.3


@dataclass(frozen=True)
class Tracked:
    """A frame whose pose is known.

    Attributes:
        frame: image and depth.
        pose: by alignment with keyframes, or by scene coordinates alone.
        motion: from the pose before.
        features: what the head tells places by, when the head has looked at the frame already.
        raw: what it said then.
        held: whether keyframes held the camera well.
        is_guess: see `MotionModel`.
    """

    frame: Frame
    pose: AlignedPose | PoseEstimate
    motion: Motion | None
    features: Features | None
    raw: PoseEstimate | None
    held: bool
    is_guess: bool


@dataclass
class _Look:
    """A tracked frame that waits to be described, and to be localized if that `is_due`.

    `keyframe` is what the mapper is to get of it, None when it is no keyframe.
    """

    tracked: Tracked
    is_due: bool
    keyframe: NewKeyframe | None
    description: SteppedTask[Features]

    @property
    def features(self) -> Features | None:
        """What the head can tell places by, once it is known."""
        return self.description.result

    @property
    def owes_keyframe(self) -> bool:
        """Whether the mapper waits for the description."""
        return self.keyframe is not None and self.features is None

    def carry(self, raw: PoseEstimate, tracked: Tracked) -> PoseEstimate:
        """Carry what scene coordinates say of the frame on to a later one, as tracked."""
        since = invert_pose(self.tracked.pose.T_map_cam) @ tracked.pose.T_map_cam
        return replace(raw, T_map_cam=raw.T_map_cam @ since)


class LocalMapping:
    """Makes keyframes, has the head look at frames and adjusts the window of local keyframes.

    One frame at a time is looked at. The description of a keyframe serves the head as well when
    its look at a frame is due. The window has the time that is left when no frame is looked at.

    Attributes:
        doubts: the head's last look says that the camera is elsewhere.
        looked: whether the head began to look at the frame worked on last.
    """

    def __init__(
        self, config: TrackerConfig, scheduler: Scheduler, keyframes: KeyframeMaker,
        window: LocalWindow, localizer: Localizer, averaging: PoseAveraging, model: MotionModel,
    ) -> None:
        self._config, self._scheduler = config, scheduler
        self._keyframes, self._window = keyframes, window
        self._localizer, self._averaging, self._model = localizer, averaging, model
        self.clear()

    def clear(self) -> None:
        """Drop what waits."""
        self._look: _Look | None = None
        self._described: list[tuple[NewKeyframe, Features]] = []
        self.doubts = self.looked = False

    def correct(self, motions: SubmapMotions) -> None:
        """Follow a correction of the map."""
        if self._look is not None:
            tracked = self._look.tracked
            self._look.tracked = replace(tracked, pose=corrected(tracked.pose, motions))

    def start(self, new: NewKeyframe, features: Features) -> None:
        """Give the mapper the first keyframe of a map or submap."""
        self._described.append((new, features))

    def work(self, tracked: Tracked, clock: StageClock) -> PoseEstimate | None:
        """Do what fits into the time of a frame.

        Returns:
            What scene coordinates say of the camera, if the head looked.
        """
        self.doubts, self.looked = False, tracked.features is not None
        self._average(tracked.raw, tracked)
        if not self.looked and self._look is None and self._scheduler.look_due():
            self._look_at(tracked, is_due=True)
            self.looked = True
        self._add_keyframe(tracked, clock)
        self._describe(clock)
        raw = self._localize(tracked, clock)
        self._adjust(clock)
        return raw

    def finished_keyframes(self, map_revision: int) -> list[Keyframe]:
        """Return what the mapper gets now, placed as the local map knows it."""
        described, self._described = self._described, []
        return [self._keyframes.for_mapper(*of_one, map_revision) for of_one in described]

    def _average(self, raw: PoseEstimate | None, tracked: Tracked) -> None:
        if raw is not None and isinstance(tracked.pose, AlignedPose):
            self._averaging.average(raw, tracked.pose)

    def _add_keyframe(self, tracked: Tracked, clock: StageClock) -> None:
        """Make the frame a keyframe, once the last one is described and, best, adjusted."""
        look = self._look
        if look is not None and look.owes_keyframe:
            return
        due = self._keyframes.due(tracked.frame, tracked.pose, tracked.held)
        if due < 1.0:
            return
        ready = self._window.is_done or due >= _OVERDUE
        if self._scheduler.fits(Stage.KEYFRAME, ready):
            # without alignment, as in ACE-SLAM, scene-coordinate poses make the map
            placed = isinstance(tracked.pose, AlignedPose) or not self._config.refine
            new = self._keyframes.add(tracked.frame, tracked.pose, tracked.motion, placed)
            self._scheduler.took(Stage.KEYFRAME, clock.lap(Stage.KEYFRAME))
            if new is not None and tracked.features is not None:
                self._described.append((new, tracked.features))
            elif new is not None:
                self._look_at(tracked, look is not None and look.is_due, new)

    def _look_at(
        self, tracked: Tracked, is_due: bool, keyframe: NewKeyframe | None = None
    ) -> None:
        self._look = _Look(tracked, is_due, keyframe,
                           SteppedTask(self._localizer.describe_in_steps(tracked.frame)))

    def _describe(self, clock: StageClock) -> None:
        """Describe the frame that is looked at."""
        look = self._look
        if look is None or look.features is not None:
            return
        while look.features is None:
            patience = _BETWEEN_PARTS if look.description.begun else LONGEST_WAIT
            if not self._scheduler.fits(Stage.ENCODE, longest_wait=patience):
                return
            look.description.step()
            self._scheduler.took(Stage.ENCODE, clock.lap(Stage.ENCODE))
        if look.keyframe is not None:
            self._described.append((look.keyframe, look.features))
        if not look.is_due:
            self._look = None

    def _localize(self, tracked: Tracked, clock: StageClock) -> PoseEstimate | None:
        """End the look; return the scene-coordinate pose carried to the camera as tracked."""
        look = self._look
        if look is None or look.features is None or not self._scheduler.fits(Stage.LOCALIZE):
            return None
        self._look = None
        features = look.features.share(self._scheduler.feature_share())
        raw = self._localizer.localize(features, self._model.submap, everywhere=False)
        self._scheduler.took(Stage.LOCALIZE, clock.lap(Stage.LOCALIZE))
        if raw is None:
            return None
        self._average(raw, look.tracked)
        self._check(raw, look.tracked)
        return look.carry(raw, tracked)

    def _check(self, raw: PoseEstimate, tracked: Tracked) -> None:
        """Note whether a look at a frame confirms or doubts where it was tracked."""
        if isinstance(tracked.pose, AlignedPose):
            verdict = judge(raw, tracked.pose, None, self._config, self._model.traveled_m,
                            is_unsure=tracked.is_guess)
            self.doubts = verdict in (Verdict.REPLACE, Verdict.VERIFY)
        if tracked.is_guess and confirms(raw, tracked.pose, self._config):
            self._model.is_guess = False

    def _adjust(self, clock: StageClock) -> None:
        """Go on with the window, in the time that is left when no frame is looked at."""
        while self._look is None and not self._window.is_done:
            stage = Stage.LINK if self._window.links else Stage.ADJUST
            if not self._scheduler.fits(stage):
                return
            self._window.step()
            self._scheduler.took(stage, clock.lap(stage))
