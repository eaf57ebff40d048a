"""Keyframes on their way into the mapper: kept until it has time, checked, and counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.errors import AceSlamError, DataError
from ..messages.conversions import keyframe_from_msg
from ..messages.limits import MOST_FEATURES

if TYPE_CHECKING:
    from ...core.data.keyframe import Keyframe
    from ...core.encoders.base import Encoder
    from ...msg import Keyframe as KeyframeMsg
    from ..weights.map_follower import MapFollower

_LENGTH = 100


class KeyframeInbox:
    """Takes keyframes of this system's tracker and refuses all others with a reason.

    Args:
        encoder: which the features must come from.
        follower: decides which maps count.
        most_features: of a keyframe, where the parameters allow more than usual.
        log_once: warns once per key.

    Attributes:
        counts: what became of the keyframes, for diagnostics.
        problem: why the last one was refused; empty when it was not.
    """

    def __init__(
        self, encoder: Encoder, follower: MapFollower, most_features: int,
        log_once: Callable[[str, str], None],
    ) -> None:
        self._encoder, self._follower, self._log_once = encoder, follower, log_once
        self._most_features = max(MOST_FEATURES, most_features)
        self._queue: deque[Any] = deque(maxlen=_LENGTH)
        self.counts = {"keyframes_received": 0, "keyframes_refused": 0, "keyframes_dropped": 0}
        self.problem = ""

    def __len__(self) -> int:
        """Keyframes that wait."""
        return len(self._queue)

    def put(self, msg: KeyframeMsg) -> None:
        """Keep a keyframe, in place of the oldest one when very many wait; from any thread."""
        if len(self._queue) == _LENGTH:
            self.counts["keyframes_dropped"] += 1
            self._log_once("queue", f"{_LENGTH} keyframes wait: older ones are dropped (now "
                                    "counted only); saving or loading takes long, or no CPU")
        self._queue.append(msg)

    def clear(self) -> None:
        """Drop what waits."""
        self._queue.clear()

    def empty_into(
        self, add: Callable[[Keyframe, str], None], has_map: Callable[[], bool]
    ) -> None:
        """Hand over what waits now to `add(keyframe, map_id)`; what cannot be used is refused.

        Args:
            add: an AceSlamError of it refuses the keyframe.
            has_map: whether the mapper has a map that could be lost.
        """
        for _ in range(len(self._queue)):
            msg = self._queue.popleft()
            try:
                keyframe = self._checked(msg)
                if self._follower.accepts(msg.map_id, is_empty=not has_map()):
                    add(keyframe, msg.map_id)
                elif self._follower.is_strange(msg.map_id):
                    raise DataError(
                        f"the tracker of this system was never in map {msg.map_id[:80]!r}: "
                        "somebody else publishes keyframes here; give every system a namespace "
                        "or ROS_DOMAIN_ID of its own")
                self.problem = ""
            except AceSlamError as error:
                self.counts["keyframes_refused"] += 1
                self.problem = str(error)
                self._log_once(
                    type(error).__name__, f"keyframe refused: {error} (now counted only)")

    def _checked(self, msg: KeyframeMsg) -> Keyframe:
        encoder = self._encoder
        if (msg.encoder_hash, msg.dimension) != (encoder.hash, encoder.dimension):
            raise DataError(
                f"keyframes come from encoder {msg.encoder_hash[:80]!r} (dimension "
                f"{msg.dimension}), this node has {encoder.hash}: start all nodes with the same "
                "encoder parameters")
        return keyframe_from_msg(msg, self._most_features)
