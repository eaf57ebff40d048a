"""A map on disk: a folder with a manifest, the head weights, and optionally the keyframes.

A save writes a temporary sibling folder, syncs it and renames it. An old map is renamed to
`.<name>.previous` just before and removed after; when the process dies between the two renames,
`load_map` finds the old map there. At every moment one complete map can be loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors

from ..errors import MapError
from .keyframe_codec import pack_keyframes, unpack_edges, unpack_keyframes
from .manifest import FORMAT_VERSION, HEAD, KEYFRAMES, MANIFEST, MapManifest
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
    edges: Sequence[Edge] = (),
) -> MapManifest:
    """Write a map folder; an existing map there stays loadable until the new one is complete.

    Args:
        path: folder to create or replace.
        manifest: sizes, hashes and the number of keyframes are filled in.
        head: head weights as a safetensors blob.
        keyframes: needed to extend the map later; None = localization only.
        edges: relative poses measured between the keyframes.

    Returns:
        The manifest as written.

    Raises:
        MapError: `path` holds something else than a map, cannot be written, or the head or the
            keyframes are not storable.
    """
    path = Path(path).resolve()
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
        format_version=FORMAT_VERSION,
    )
    files[MANIFEST] = manifest.to_json().encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            _refuse_foreign(path)
            _remove_leftovers(path)
            _swap_in(path, _write_folder(_hidden(path, "new"), files))
    except OSError as error:
        raise MapError(f"cannot write map {path}: {error}; choose a folder on a disk with space "
                       "that you may write to") from error
    return manifest


def load_map(path: Path, *, encoder_hash: str | None = None) -> StoredMap:
    """Read and verify a map folder.

    Args:
        path: the folder.
        encoder_hash: hash of the encoder in use; None accepts the map of any encoder.

    Raises:
        MapError: the folder or a file is missing, truncated or altered, the format is unknown,
            or the map was made with another encoder.
    """
    path = Path(path).resolve()
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
        for folder in (path, _previous(path)):
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
    def read(name: str) -> bytes:
        with open(os.open(name, os.O_RDONLY, dir_fd=descriptor), "rb") as file:
            return file.read()

    try:
        manifest, files = read(MANIFEST), {}
        for name in (HEAD, KEYFRAMES):
            with contextlib.suppress(FileNotFoundError):
                files[name] = read(name)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise MapError(f"cannot read map {folder}: {error}") from error
    return manifest, files


def _is_whole(manifest: bytes, files: dict[str, bytes]) -> bool:
    """Whether no file is absent that the manifest names; a damaged manifest is told elsewhere."""
    try:
        return set(json.loads(manifest)["sha256"]) <= set(files)
    except (ValueError, KeyError, TypeError):
        return True


def _hidden(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time save below `folder`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_foreign(path: Path) -> None:
    """Raise when `path` is neither absent, nor an empty folder, nor a map."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    with contextlib.suppress(OSError, ValueError, TypeError):
        tree = json.loads((path / MANIFEST).read_text())
        if "format_version" in tree and "encoder_hash" in tree:
            return
    raise MapError(f"{path} exists and is not a map: it is left alone, choose another folder")


def _remove_leftovers(path: Path) -> None:
    """Remove what interrupted saves left; the lock says that nobody is still writing it."""
    for kind in ("new", "old"):
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.{kind}-*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        with open(folder / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return folder


def _swap_in(path: Path, fresh: Path) -> None:
    """Give `fresh` the name `path`; `path` or `.previous` is a complete map at every step."""
    previous, discarded = _previous(path), _hidden(path, "old")
    if path.exists() and previous.exists():
        previous.rename(discarded)
        shutil.rmtree(discarded, ignore_errors=True)
    if path.exists():
        path.rename(previous)
    fresh.rename(path)
    if previous.exists():
        previous.rename(discarded)
        shutil.rmtree(discarded, ignore_errors=True)
