"""Maps of format 1 as today's code reads them.

There the number of an unjoined submap was hidden in x: submap k lay around (200 k, 0, 0).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..heads.affine.head import OFFSET_LEVELS
from ..heads.payload import HeadInfo, pack_head, read_info, read_metadata, unpack_arrays

if TYPE_CHECKING:
    from ..data.keyframe import Keyframe

_SPACING_M = 200.0


def upgrade_from_1(
    head: bytes, keyframes: list[Keyframe] | None
) -> tuple[bytes, list[Keyframe] | None]:
    """Return head weights and keyframes of a map of format 1 as those of format 2.

    Raises:
        MapError: the head is damaged.
    """
    meta = read_metadata(head)
    submaps = tuple(int(n) for n in meta.get("segments", "").split())
    info = replace(read_info(head), map_revision=int(meta.get("corrections", 0)), submaps=submaps)
    if keyframes is not None:
        keyframes = [_placed(k, submaps) for k in keyframes]
    return _with_submaps(head, info), keyframes


def _placed(keyframe: Keyframe, submaps: tuple[int, ...]) -> Keyframe:
    submap = round(float(keyframe.T_map_cam[0, 3]) / _SPACING_M)
    if submap not in submaps:
        return keyframe
    T_map_cam = keyframe.T_map_cam.copy()
    T_map_cam[0, 3] -= submap * _SPACING_M
    return replace(keyframe, T_map_cam=T_map_cam, submap=submap)


def _with_submaps(head: bytes, info: HeadInfo) -> bytes:
    """Write the submap of every expert beside it; other heads have no submaps."""
    arrays = unpack_arrays(head)
    if info.submaps and "offset_step" in arrays:
        points = (arrays["offset"] * arrays["offset_step"].astype(np.float64)
                  + arrays["offset_centre"].astype(np.float64))
        submap = np.rint(points[:, 0] / _SPACING_M).astype(np.uint8)
        submap[~np.isin(submap, info.submaps)] = 0
        points[:, 0] -= _SPACING_M * submap
        low, high = points.min(axis=0), points.max(axis=0)
        center, step = (low + high) / 2, np.maximum(high - low, 1e-3) / (2 * OFFSET_LEVELS)
        arrays |= {"offset": np.rint((points - center) / step).astype(np.int16),
                   "offset_centre": center.astype(np.float32),
                   "offset_step": step.astype(np.float32), "submap": submap}
    return pack_head(arrays, info)
