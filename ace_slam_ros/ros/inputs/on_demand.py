"""Image pairs for who asks now and then: the camera is subscribed to only while somebody waits.

A subscription costs deserialization of every image, a good part of a core, whether it is used
or not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from ...core.errors import AceSlamError
from .camera_topics import ImageInputs

if TYPE_CHECKING:
    from ..config import RosConfig
    from .synchronizer import ImagePair

_CHECK_S = 0.1
#: Silence of a topic, at the end of the wait for a pair, that explains why there is none.
_SILENT_S = 1.0


class NoImagesError(AceSlamError):
    """No pair came within `OnDemandImages.WAIT_S`; the message says why."""


class OnDemandImages:
    """Gives the next image pair of the camera to all who ask for it.

    The first one who asks makes the subscriptions; they are dropped when nobody has asked for
    `IDLE_S`. QoS overrides are checked at once, so that a wrong one keeps the node from starting.

    Everything is called in the executor's thread.

    Attributes:
        info: the last camera_info received, None before the first; it outlives the subscriptions.
        problem: why the last one who asked got nothing; empty when there was a pair.
    """

    WAIT_S = 5.0
    IDLE_S = 5.0

    def __init__(self, node: Node, config: RosConfig) -> None:
        self._node, self._config = node, config
        self._inputs: ImageInputs | None = None
        self._timer: Any = None
        self._waiting: list[tuple[float, Future]] = []
        self._asked_s = 0.0
        self.info: Any = None
        self.problem = ""
        ImageInputs(node, config, self._receive).close()

    @property
    def subscribed(self) -> bool:
        """Tell whether images are received now."""
        return self._inputs is not None

    def next_pair(self) -> Future:
        """Return a future of the first pair that is complete after this call.

        It fails with NoImagesError after `WAIT_S` without one.
        """
        self._asked_s = time.monotonic()
        if self._inputs is None:
            self._inputs = ImageInputs(
                self._node, self._config, self._receive, tells_unused=False)
            self._timer = self._node.create_timer(
                _CHECK_S, self._tend, clock=Clock(clock_type=ClockType.STEADY_TIME))
        future: Future = Future()
        self._waiting.append((self._asked_s + self.WAIT_S, future))
        return future

    def _receive(self, pair: ImagePair) -> None:
        self.info, self.problem = pair.info, ""
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.set_result(pair)

    def _tend(self) -> None:
        """Tell those who have waited too long, and unsubscribe when nobody asks any more."""
        now_s = time.monotonic()
        late = [future for until_s, future in self._waiting if until_s <= now_s]
        if late:
            self._waiting = [entry for entry in self._waiting if entry[0] > now_s]
            self.problem = self._explain()
            for future in late:
                future.set_exception(NoImagesError(self.problem))
        if not self._waiting and now_s - self._asked_s > self.IDLE_S:
            self._unsubscribe()

    def _explain(self) -> str:
        assert self._inputs is not None
        why = "; ".join(self._inputs.incompatible.values()) or self._inputs.problem(_SILENT_S)
        return f"no image pair within {self.WAIT_S:g} s: {why or 'the camera is too slow'}"

    def values(self, now_ns: int) -> dict[str, Any]:
        """Return what diagnostics show: rates and counts, while there are subscriptions."""
        if self._inputs is None:
            return {"images": "not subscribed: nobody asks for the newest frame"}
        return {"images": "subscribed", **self._inputs.values(now_ns)}

    def incompatible(self) -> list[str]:
        """Return in sentences the topics whose publishers' QoS does not fit, or are several."""
        if self._inputs is None:
            return []
        return [*filter(None, [self._inputs.several()]), *self._inputs.incompatible.values()]

    def _unsubscribe(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
            self._node.destroy_timer(self._timer)
        self._inputs = self._timer = None

    def close(self) -> None:
        """Unsubscribe, and fail those who wait."""
        self._unsubscribe()
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.set_exception(NoImagesError("the node is being deactivated"))
