"""A map on disk: a folder with a manifest, the head weights, and optionally the keyframes.

A save replaces the folder in one step (`folder_swap.py`): at every moment one complete map can be
loaded, and files that are not ours stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors

from ..errors import MapError
from .folder_swap import back_up, locked, previous_of, replace_folder
from .keyframe_codec import pack_keyframes, unpack_edges, unpack_keyframes
from .manifest import FORMAT_VERSION, HEAD, KEYFRAMES, MANIFEST, MapManifest
from .map_path import read_map_file, resolve_map_path
from .upgrade import upgrade_from_1

if TYPE_CHECKING:
    from ..data.edge import Edge
    from ..data.keyframe import Keyframe

_READ_ATTEMPTS = 5


@dataclass(frozen=True)
class StoredMap:
    """A loaded map: manifest, head weights (a safetensors blob), keyframes if they were saved.

    `edges` are the relative poses measured between the keyframes, `path` is its folder.
    """

    path: Path
    manifest: MapManifest
    head: bytes
    keyframes: list[Keyframe] | None
    edges: list[Edge]


def save_map(
    path: Path, manifest: MapManifest, head: bytes, keyframes: list[Keyframe] | None = None,
    edges: Sequence[Edge] = (), derived: dict[str, bytes] | None = None,
) -> MapManifest:
    """Write a map folder; an existing map there stays loadable until the new one is complete.

    Args:
        path: folder to create, or whose map to replace; other files there stay.
        manifest: sizes, hashes and the number of keyframes are filled in.
        head: head weights as a safetensors blob.
        keyframes: needed to extend the map later; None = localization only.
        edges: relative poses measured between the keyframes.
        derived: files made of all this for other programs, by name; nothing here reads them.

    Returns:
        The manifest as written.

    Raises:
        MapError: `path` holds something else than a map, cannot be written, or the head or the
            keyframes are not storable.
    """
    path = resolve_map_path(path)
    files = {HEAD: head}
    _check_blob(head)
    if keyframes is not None:
        files[KEYFRAMES] = pack_keyframes(keyframes, edges)
    manifest = dataclasses.replace(
        manifest,
        created=manifest.created or datetime.now(timezone.utc).isoformat(timespec="seconds"),
        keyframes=len(keyframes or ()), map_bytes=len(head),
        keyframe_bytes=len(files.get(KEYFRAMES, b"")),
        sha256={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        derived={name: hashlib.sha256(data).hexdigest()
                 for name, data in (derived or {}).items()},
        format_version=FORMAT_VERSION,
    )
    files |= (derived or {}) | {MANIFEST: manifest.to_json().encode()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            _refuse_foreign(path)
            replace_folder(path, files)
    except OSError as error:
        raise _unwritable(path, error) from error
    return manifest


def back_up_larger(path: Path, map_id: str, keyframes: int) -> Path | None:
    """Keep the map at `path` under another name when it is another map with more keyframes.

    Args:
        path: folder that is about to be replaced.
        map_id, keyframes: name and size of what will replace it.

    Returns:
        The folder that holds the old map now as well; None when none had to be kept.

    Raises:
        MapError: it cannot be kept.
    """
    path = resolve_map_path(path)
    try:
        old = MapManifest.from_json(_read_folder(path)[0].decode())
    except (MapError, UnicodeDecodeError):
        return None  # saving refuses what is no map
    if old.map_id == map_id or old.keyframes <= keyframes or not path.exists():
        return None
    try:
        with locked(path.parent):
            return back_up(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> MapError:
    return MapError(f"cannot write map {path}: {error}; choose a folder on a disk with space that "
                    "you may write to")


def load_map(path: Path, *, encoder_hash: str | None = None) -> StoredMap:
    """Read and verify a map folder.

    Args:
        path: the folder.
        encoder_hash: hash of the encoder in use; None accepts the map of any encoder.

    Raises:
        MapError: the folder or a file is missing, truncated or altered, the format is unknown,
            or the map was made with another encoder.
    """
    path = resolve_map_path(path)
    manifest, files = _read_folder(path)
    try:
        manifest_read = MapManifest.from_json(manifest.decode())
        _verify(manifest_read, files)
        if encoder_hash is not None and manifest_read.encoder_hash != encoder_hash:
            raise MapError(
                f"made with encoder '{manifest_read.encoder_name}' "
                f"({manifest_read.encoder_hash[:12]}), but the one in use is "
                f"{encoder_hash[:12]}: set encoder.name/encoder.weights to that encoder, or map "
                "again with this one")
        head, data = files[HEAD], files.get(KEYFRAMES)
        keyframes = None if data is None else unpack_keyframes(data)
        edges = [] if data is None else unpack_edges(data)
        if manifest_read.format_version.startswith("1."):
            head, keyframes = upgrade_from_1(head, keyframes)
    except (MapError, UnicodeDecodeError) as error:
        raise MapError(f"map {path}: {error}") from error
    return StoredMap(path, manifest_read, head, keyframes, edges)


def _check_blob(head: bytes) -> None:
    try:
        safetensors.deserialize(head)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise MapError(f"the head is not a safetensors blob: {error}") from error


def _verify(manifest: MapManifest, files: dict[str, bytes]) -> None:
    """Compare sizes and hashes of the files with the manifest."""
    sizes = {HEAD: manifest.map_bytes, KEYFRAMES: manifest.keyframe_bytes}
    for name, expected in manifest.sha256.items():
        if name not in files:
            raise MapError(f"{name} is missing: restore the folder or map again")
        found = files[name]
        if len(found) < sizes.get(name, 0):
            raise MapError(f"{name} is truncated ({len(found)} of {sizes[name]} bytes): copy the "
                           "folder again or map again")
        if hashlib.sha256(found).hexdigest() != expected:
            raise MapError(f"{name} does not have the hash that {MANIFEST} names: it was altered "
                           "or belongs to another map; restore the folder or map again")
    if HEAD not in manifest.sha256:
        raise MapError(f"{MANIFEST} names no {HEAD}: restore the folder or map again")


def _read_folder(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """Manifest and data files of one and the same folder, even while another process saves."""
    missing, partial = "", None
    for _ in range(_READ_ATTEMPTS):
        for folder in (path, previous_of(path)):
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except NotADirectoryError as error:
                raise MapError(f"{folder} is a file: give the folder of a map") from error
            except FileNotFoundError:
                continue
            except OSError as error:
                raise MapError(f"cannot read map {folder}: {error}") from error
            try:
                found = _read_at(descriptor, folder)
                if _is_whole(*found):
                    return found
                partial = found  # replaced and being removed, unless it stays like that
            except FileNotFoundError:
                missing = f"map {folder} has no {MANIFEST}: give the folder of a saved map"
            finally:
                os.close(descriptor)
    if partial is not None:
        return partial
    raise MapError(missing or f"no map at {path}: save one first (save_map service, or "
                   "`ace-slam run ... --out`), or correct the path")


def _read_at(descriptor: int, folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """Read the files of an open folder; it may be renamed meanwhile."""
    try:
        manifest, files = read_map_file(MANIFEST, descriptor), {}
        for name in (HEAD, KEYFRAMES):
            with contextlib.suppress(FileNotFoundError):
                files[name] = read_map_file(name, descriptor)
    except FileNotFoundError:
        raise
    except (OSError, MapError) as error:
        raise MapError(f"cannot read map {folder}: {error}") from error
    return manifest, files


def _is_whole(manifest: bytes, files: dict[str, bytes]) -> bool:
    """Whether no file is absent that the manifest names; a damaged manifest is told elsewhere."""
    try:
        return set(json.loads(manifest)["sha256"]) <= set(files)
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


def _refuse_foreign(path: Path) -> None:
    """Raise when `path` is neither absent, nor an empty folder, nor a map."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    with contextlib.suppress(OSError, MapError, ValueError, TypeError, RecursionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            tree = json.loads(read_map_file(MANIFEST, descriptor))
        finally:
            os.close(descriptor)
        if "format_version" in tree and "encoder_hash" in tree:
            return
    raise MapError(f"{path} exists and is not a map: it is left alone, choose another folder")
