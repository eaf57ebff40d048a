"""Keyframes and the edges between them as one safetensors blob: features with offsets, poses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ..data.camera import Camera
from ..data.edge import Edge, EdgeKind
from ..data.floor_scan import FloorScan
from ..data.keyframe import Keyframe
from ..errors import AceSlamError, MapError


def camera_from_tree(tree: dict[str, Any]) -> Camera:
    """Camera of the dictionary that `dataclasses.asdict` made, after a trip through JSON."""
    return Camera(**{**tree, "distortion": tuple(tree.get("distortion", ()))})


def pack_keyframes(keyframes: list[Keyframe], edges: Sequence[Edge] = ()) -> bytes:
    """Concatenate keyframes, and the measured edges between them, into one safetensors blob.

    Points stay float32: a feature takes 84 bytes, of which float16 would save six and cost
    exactness (4 mm steps beyond 4 m).

    Raises:
        MapError: the descriptors of two keyframes differ in length.
    """
    if len({k.descriptors_i8_ND.shape[1] for k in keyframes}) > 1:
        raise MapError("keyframes of different encoders cannot be saved in one map")
    cameras = list(dict.fromkeys(k.camera for k in keyframes))
    listed = json.dumps([dataclasses.asdict(c) for c in cameras]).encode()

    def stacked(arrays: list[Any], dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        joined = np.concatenate(arrays) if arrays else np.empty(shape)
        return np.ascontiguousarray(joined, dtype)

    counts = [len(k.descriptors_i8_ND) for k in keyframes]
    return save_tensors({
        "ids": np.array([k.id for k in keyframes], np.int64),
        "stamps_ns": np.array([k.stamp_ns for k in keyframes], np.int64),
        "T_map_cam": stacked([k.T_map_cam[None] for k in keyframes], "float64", (0, 4, 4)),
        "offsets": np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        "descriptors": stacked([k.descriptors_i8_ND for k in keyframes], "int8", (0, 0)),
        "pixels": stacked([k.pixels_N2 for k in keyframes], "float32", (0, 2)),
        "points_cam_m": stacked([k.points_cam_N3 for k in keyframes], "float32", (0, 3)),
        "camera_index": np.array([cameras.index(k.camera) for k in keyframes], np.int64),
        "submaps": np.array([k.submap for k in keyframes], np.int64),
        "cameras_json": np.frombuffer(listed, np.uint8),
        "edge_ids": np.array([(e.a, e.b) for e in edges], np.int64).reshape(-1, 2),
        "edge_kinds": np.array([e.kind for e in edges], np.uint8),
        "edge_T_a_b": stacked([e.T_a_b[None] for e in edges], "float64", (0, 4, 4)),
        "edge_covariances": stacked(
            [e.covariance_66[None] for e in edges], "float32", (0, 6, 6)),
        **_packed_scans([k.scan for k in keyframes]),
    })


def _packed_scans(scans: list[FloorScan | None]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of the scans, one after the other; none where there is no scan."""
    known = [s for s in scans if s is not None]
    if not known:
        return {}
    counts = [0 if s is None else len(s.ranges_mm_K) for s in scans]
    lines = [np.zeros(6) if s is None else np.append(s.floor_4, (s.first_rad, s.step_rad))
             for s in scans]
    return {
        "scan_offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "scan_ranges_mm": np.concatenate([s.ranges_mm_K for s in known]).astype(np.int16),
        "scan_floor_first_step": np.array(lines, np.float64),
    }


def _unpacked_scans(arrays: dict[str, np.ndarray[Any, Any]]) -> list[FloorScan | None]:
    """Inverse of `_packed_scans`; no scans in maps that were saved before there were any."""
    if "scan_offsets" not in arrays:
        return [None] * len(arrays["ids"])
    offsets, ranges = arrays["scan_offsets"], arrays["scan_ranges_mm"]
    return [
        None if a == b else FloorScan(
            line[:4].copy(), float(line[4]), float(line[5]), ranges[a:b].copy())
        for a, b, line in zip(
            offsets[:-1], offsets[1:], arrays["scan_floor_first_step"], strict=True)]


def unpack_keyframes(data: bytes) -> list[Keyframe]:
    """Inverse of `pack_keyframes`.

    Raises:
        MapError: the blob is damaged.
    """
    try:
        arrays = load_tensors(data)
        cameras = [camera_from_tree(t) for t in json.loads(arrays["cameras_json"].tobytes())]
        offsets = arrays["offsets"]
        submaps = arrays.get("submaps", np.zeros(len(arrays["ids"]), np.int64))
        scans = _unpacked_scans(arrays)
        return [
            Keyframe(
                int(arrays["ids"][i]), int(arrays["stamps_ns"][i]), arrays["T_map_cam"][i].copy(),
                arrays["descriptors"][a:b].copy(), arrays["pixels"][a:b].copy(),
                arrays["points_cam_m"][a:b].copy(), cameras[int(arrays["camera_index"][i])],
                submap=int(submaps[i]), scan=scans[i])
            for i, (a, b) in enumerate(zip(offsets[:-1], offsets[1:], strict=True))
        ]
    except (AceSlamError, safetensors.SafetensorError, KeyError, IndexError, TypeError,
            ValueError) as error:
        raise MapError(f"the keyframes are damaged ({error}): restore the folder or map "
                       "again") from error


def unpack_edges(data: bytes) -> list[Edge]:
    """Return the edges of `pack_keyframes`; none for a map saved before there were any.

    Raises:
        MapError: the blob is damaged.
    """
    try:
        arrays = load_tensors(data)
        if "edge_ids" not in arrays:
            return []
        return [
            Edge(int(a), int(b), T.copy(), covariance.astype(np.float64), EdgeKind(int(kind)))
            for (a, b), T, covariance, kind in zip(
                arrays["edge_ids"], arrays["edge_T_a_b"], arrays["edge_covariances"],
                arrays["edge_kinds"], strict=True)
        ]
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise MapError(f"the keyframes' edges are damaged ({error}): restore the folder or map "
                       "again") from error
