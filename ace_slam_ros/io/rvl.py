"""RVL, the lossless compression of depth that compressedDepth topics may use.

Source: A. D. Wilson, Fast Lossless Depth Image Compression, ISS 2017. A picture is a row of runs:
a number of missing pixels, a number of measured ones, then the change of each measured pixel from
the measured one before it. Every number is a chain of nibbles, three bits each, lowest first; the
fourth bit says that the number goes on. Nibbles fill 32-bit words from the top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from ..core.runtime.compiled import AVAILABLE, kernel
from .images import Buffer, byte_view

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.geometry.arrays import Int64Array

_SIZE_BYTES = 8
#: No number of 32 bits needs more nibbles; a longer chain is damage.
_LONGEST = 11
#: Larger pictures are damage, not cameras: no image topic may have more pixels.
_MOST_PIXELS = 4096 * 3072


def decode_rvl(data: Buffer) -> npt.NDArray[np.uint16]:
    """Decode the body of a compressedDepth message: columns and rows (uint32 each), then RVL.

    Returns:
        (H, W) stored values, 0 = missing.

    Raises:
        DataError: the bytes are truncated or damaged.
    """
    view = byte_view(data)
    if len(view) < _SIZE_BYTES:
        raise DataError(f"RVL depth of {len(view)} bytes is truncated")
    width, height = (int(n) for n in np.frombuffer(view[:_SIZE_BYTES], "<u4"))
    if not 0 < width * height <= _MOST_PIXELS:
        raise DataError(f"RVL depth of {width}x{height} pixels is damaged")
    words = np.frombuffer(view[_SIZE_BYTES:len(view) - (len(view) % 4)], "<u4")
    words.setflags(write=False)  # as of bytes: compiled once, whatever messages bring
    depth = np.zeros(width * height, np.uint16)
    done = _decode(words, depth) if AVAILABLE else decode_words(words, depth)
    if done != len(depth):
        raise DataError(
            f"RVL depth of {width}x{height} is damaged: its runs do not end with the picture")
    return depth.reshape(height, width)


@kernel
def _decode(words: npt.NDArray[np.uint32], depth: npt.NDArray[np.uint16]) -> int:
    """Fill `depth`, which is zero; return how many pixels the runs hold, -1 when they break off.

    The slow twin is `decode_words`.
    """
    at, end, done, total = 0, 8 * len(words), 0, len(depth)
    previous, measured, left = 0, False, 0
    while done < total or left > 0:
        number, bits, more = 0, 0, True
        while more:
            if at >= end or bits >= 3 * _LONGEST:
                return -1
            nibble = (int(words[at >> 3]) >> (28 - 4 * (at & 7))) & 15
            number |= (nibble & 7) << bits
            bits += 3
            at += 1
            more = nibble > 7
        if left > 0:
            previous += (number >> 1) ^ -(number & 1)
            depth[done] = previous & 0xFFFF
            done += 1
            left -= 1
        elif measured:
            left, measured = number, False
            if number > total - done:
                return -1
        else:
            done += number
            measured = True
            if done > total:
                return -1
    return done


def decode_words(words: npt.NDArray[np.uint32], depth: npt.NDArray[np.uint16]) -> int:
    """Do what the kernel does, in NumPy."""
    numbers = _numbers(words)
    at, done, total = 0, 0, len(depth)
    runs: list[tuple[int, int, int]] = []
    while done < total:
        if at >= len(numbers):
            return -1
        start = done + int(numbers[at])
        if start == total:
            done = total
            break
        if start > total or at + 1 >= len(numbers):
            return -1
        count = int(numbers[at + 1])
        done, at = start + count, at + 2
        if done > total or at + count > len(numbers):
            return -1
        runs.append((start, at, count))
        at += count
    if not runs:
        return done
    change = np.concatenate([numbers[first:first + count] for _, first, count in runs])
    values = np.cumsum((change >> 1) ^ -(change & 1)) & 0xFFFF
    used = 0
    for start, _, count in runs:
        depth[start:start + count] = values[used:used + count]
        used += count
    return done


def _numbers(words: npt.NDArray[np.uint32]) -> Int64Array:
    """Return the numbers that the nibbles of words hold; what breaks off is left out."""
    shifts = np.arange(28, -4, -4, dtype=np.uint32)
    nibbles = ((words[:, None] >> shifts) & np.uint32(15)).ravel().astype(np.int64)
    ends = np.flatnonzero(nibbles < 8)
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= _LONGEST:
        ends = ends[:int(np.argmax(ends - starts >= _LONGEST))]
        starts = starts[:len(ends)]
        if not len(ends):
            return np.empty(0, np.int64)
    place = np.arange(ends[-1] + 1) - np.repeat(starts, ends - starts + 1)
    return np.add.reduceat((nibbles[:ends[-1] + 1] & 7) << (3 * place), starts)
