"""The virtual scan within a keyframe message."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.data.floor_scan import MOST_RANGES, FloorScan
from ...core.errors import DataError

if TYPE_CHECKING:
    from ...msg import Keyframe as KeyframeMsg


def scan_fields(scan: FloorScan | None) -> dict[str, Any]:
    """Return the fields of a keyframe message that hold a scan; none without one."""
    if scan is None:
        return {}
    return {
        "floor": scan.floor_4.astype(np.float32), "scan_first_rad": scan.first_rad,
        "scan_step_rad": scan.step_rad, "scan_mm": array("h", scan.ranges_mm_K.tobytes())}


def scan_from_msg(msg: KeyframeMsg) -> FloorScan | None:
    """Return the scan in a keyframe message, None where there is none.

    Raises:
        DataError: it is no scan; the reason is named.
    """
    if not len(msg.scan_mm):
        return None
    if len(msg.scan_mm) > MOST_RANGES:
        raise DataError(f"keyframe {msg.id}: a scan of {len(msg.scan_mm)} ranges, at most "
                        f"{MOST_RANGES} are taken: run the same version in all nodes")
    try:
        return FloorScan(
            np.array(msg.floor, np.float64), float(msg.scan_first_rad), float(msg.scan_step_rad),
            np.array(msg.scan_mm, np.int16))
    except DataError as error:
        raise DataError(f"keyframe {msg.id}: {error}") from error
