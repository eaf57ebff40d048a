"""What a scene head is to the rest of the system: a frozen predictor and a learner.

The tracker and the relocalizer see only `SceneHead`, the mapper only `HeadLearner`; `factory.py`
makes both. A head of another kind implements these two and is registered there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ..data.submaps import MAIN_SUBMAP, SubmapMotion

if TYPE_CHECKING:
    from ..data.keyframe import Keyframe
    from ..data.predictions import Predictions
    from ..geometry.arrays import Float32Array, Float64Array
    from .payload import Arrays


class SceneHead(Protocol):
    """Frozen weights: what the tracker and the relocalizer use."""

    @property
    def head_type(self) -> str:
        """Kind of head, as `head.type` names it."""
        ...

    @property
    def takes_submaps(self) -> bool:
        """Whether it keeps submaps apart, which have frames of their own."""
        ...

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return the scene coordinates of (N, D) unit-norm descriptors; N may be zero."""
        ...


class HeadLearner(Protocol):
    """A head that learns: what the mapper uses. One thread calls it.

    It keeps what a keyframe showed (descriptor, camera-frame point, keyframe id), never a map
    point: targets follow the keyframe poses. The covariance of a camera-frame point comes from
    the depth noise model that the learner was made with.
    """

    @property
    def head_type(self) -> str:
        """Kind of head, as `head.type` names it."""
        ...

    @property
    def wants_work(self) -> bool:
        """Whether `work` can improve the head although no keyframe is new (idle time helps)."""
        ...

    def observe(
        self, keyframe: Keyframe, T_map_cam: Float64Array, submap: int = MAIN_SUBMAP
    ) -> int:
        """Take a keyframe whose pose is `T_map_cam` (4, 4); returns the samples it gave."""
        ...

    def work(self, budget_s: float) -> bool:
        """Improve the head; True when predictions changed.

        A finite budget is a wall time: a head that learns by gradient steps spends it wholly, one
        that learns in `observe` returns at once. An infinite budget does the steps that the
        keyframes observed so far are owed and no more, so that the result is the same on every
        run: offline runs use it.
        """
        ...

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Predict as the exported head would, from the present weights."""
        ...

    def prune(self, keyframe: Keyframe, T_map_cam: Float64Array,
              kept_N: npt.NDArray[np.bool_]) -> None:
        """Unlearn features of a keyframe that proved to be wrong; an unknown one is ignored.

        Args:
            keyframe: the keyframe as it is now.
            T_map_cam: (4, 4) its present pose.
            kept_N: which of the features it had are still there.
        """
        ...

    def retarget(self, poses: dict[int, Float64Array]) -> None:
        """Move keyframes within their submaps (id -> new T_map_cam). Unknown ids are an error."""
        ...

    def move_submap(
        self, number: int, motion: SubmapMotion, poses: dict[int, Float64Array]
    ) -> None:
        """Move all that was learned in a submap, by forgotten keyframes as well.

        Args:
            number: of the submap.
            motion: rigid, into another submap.
            poses: so moved, T_map_cam of the keyframes held, by id.
        """
        ...

    def forget(self, identifier: int) -> None:
        """Stop holding a keyframe; what it taught so far stays. Unknown ids are ignored."""
        ...

    def export(self) -> Arrays:
        """Return the weights by name, as the frozen head takes them."""
        ...

    def restore(self, arrays: Arrays) -> None:
        """Go on from exported weights, after the keyframes of their map were observed.

        A head that learned all of it from the keyframes ignores them.

        Raises:
            MapError: the weights do not fit this learner.
        """
        ...
