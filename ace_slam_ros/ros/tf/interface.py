"""What every way to look up and broadcast transforms offers, and who watches it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from geometry_msgs.msg import TransformStamped

from ..messages.conversions import make_header
from ..messages.poses import transform_to_msg

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float64Array

_NS = 1_000_000_000


@dataclass(frozen=True)
class StampedTransform:
    """Pose of `child` in `parent` at one time."""

    parent: str
    child: str
    stamp_ns: int
    T_parent_child: Float64Array

    def to_msg(self) -> TransformStamped:
        """Return the message."""
        return TransformStamped(
            header=make_header(self.stamp_ns, self.parent), child_frame_id=self.child,
            transform=transform_to_msg(self.T_parent_child))


class Watcher(Protocol):
    """Is told of every transform message that comes in or goes out."""

    def heard(self, message: Any, static: bool) -> None:
        """Take note of one that came in; in the executor's thread."""

    def sent(self, messages: Iterable[Any]) -> None:
        """Take note of some that go out."""


class Transforms(Protocol):
    """Looks up and broadcasts transforms; `available` tells whether it can."""

    available: bool
    watcher: Watcher | None

    def lookup(self, target: str, source: str, stamp_ns: int) -> Float64Array | None:
        """Return T_target_source at a stamp, None when unknown; never waits."""

    def newest_ns(self, target: str, source: str) -> int | None:
        """Return the newest stamp at which two frames are connected; 0 when they always are.

        None when they are not connected.
        """

    def send(self, transforms: Sequence[StampedTransform]) -> None:
        """Broadcast."""

    def clear(self) -> None:
        """Forget moving transforms, after the clock jumped; static ones stay."""

    def close(self) -> None:
        """Drop subscriptions and publishers."""
