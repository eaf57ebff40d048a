"""Maps of format 1 as today's code reads them.

There the number of an unjoined submap was hidden in x: submap k lay around (200 k, 0, 0).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..heads.affine.head import OFFSET_LEVELS
from ..heads.payload import HeadInfo, pack_head, read_info, read_metadata, unpack_tensors

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
    tensors = unpack_tensors(head)
    if info.submaps and "offset_step" in tensors:
        points = (tensors["offset"].double() * tensors["offset_step"].double()
                  + tensors["offset_centre"].double())
        submap = torch.round(points[:, 0] / _SPACING_M).to(torch.uint8)
        submap[~torch.isin(submap, torch.tensor(info.submaps, dtype=torch.uint8))] = 0
        points[:, 0] -= _SPACING_M * submap
        low, high = points.amin(dim=0), points.amax(dim=0)
        center, step = (low + high) / 2, (high - low).clamp(min=1e-3) / (2 * OFFSET_LEVELS)
        tensors |= {"offset": ((points - center) / step).round().to(torch.int16),
                    "offset_centre": center.float(), "offset_step": step.float(),
                    "submap": submap}
    return pack_head(tensors, info)
