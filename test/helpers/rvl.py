"""RVL depth, written from the paper pixel by pixel."""

import struct


def encode_rvl(depth):
    """Encode (H, W) uint16, pixel by pixel."""
    nibbles = []

    def put(number):
        while number > 7:
            nibbles.append(8 | (number & 7))
            number >>= 3
        nibbles.append(number)

    flat, at, previous = depth.ravel().tolist(), 0, 0
    while at < len(flat):
        for missing in (True, False):
            start = at
            while at < len(flat) and (flat[at] == 0) == missing:
                at += 1
            put(at - start)
        for value in flat[start:at]:
            change = value - previous
            put(2 * change if change >= 0 else -2 * change - 1)
            previous = value
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{n:x}" for n in nibbles[i:i + 8]), 16)
             for i in range(0, len(nibbles), 8)]
    height, width = depth.shape
    return struct.pack(f"<II{len(words)}I", width, height, *words)
