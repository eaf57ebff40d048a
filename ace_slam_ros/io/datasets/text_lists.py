"""Text lists as people and tools write them: separators, headers, encodings, units of stamps."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.data.trajectory import stamp_from_text
from ...core.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"))
_COMMENTS = ("#", "%", "//")
_BETWEEN = re.compile(r"[\s,;]+")
#: A list that is separated by these may have more columns than are wanted; by blanks, the rest is
#: a file name with blanks.
_SHARP = re.compile(r"\s*[,;\t]\s*")
_WHOLE = re.compile(r"[+-]?\d+")
#: Digits of whole stamps that count since 1970: seconds have 10, milliseconds 13, and so on.
_DIGITS = ((17, 1), (14, 1_000), (11, 1_000_000))
#: What the heading may say of them.
_SAID = ((r"\[ns\]|nanosec", 1), (r"\[us\]|microsec", 1_000), (r"\[ms\]|millisec", 1_000_000))
#: Steps of whole stamps that start anywhere: from these on they cannot be seconds.
_STEPS = ((1_000_000, 1), (2_000, 1_000))


@dataclass(frozen=True)
class Row:
    """One row of a list: its line, counted from 1, its stamp as written, and the rest."""

    line: int
    stamp: str
    rest: str


@dataclass(frozen=True)
class TextList:
    """The rows of a file, without comments, blank lines and heading.

    Attributes:
        path: the file.
        heading: comments and heading, lower case.
        rows: in the order of the file.
        stamp_unit_ns: nanoseconds per unit of whole stamps; None = stamps are decimal seconds.
    """

    path: Path
    heading: str
    rows: tuple[Row, ...]
    stamp_unit_ns: int | None

    def stamp_ns(self, row: Row) -> int:
        """Return the stamp of a row in integer nanoseconds; ValueError when it is none."""
        if self.stamp_unit_ns is None:
            return stamp_from_text(row.stamp)
        if not _WHOLE.fullmatch(row.stamp):
            raise ValueError(f"'{row.stamp}' is no whole number like the other stamps")
        stamp_ns = int(row.stamp) * self.stamp_unit_ns
        if abs(stamp_ns) >= 2**63:
            raise ValueError(f"stamp {row.stamp} is out of range")
        return stamp_ns


def read_list(path: Path) -> TextList:
    """Read a list whose rows begin with a stamp.

    Blanks, tabs, commas and semicolons separate; lines end in any way; the file may begin with a
    byte-order mark and a heading. Whole stamps are seconds, or nano-, micro- or milliseconds where
    the heading, their digits or their steps say so.

    Raises:
        DataError: the file cannot be read.
    """
    text = _text(path)
    comments: list[str] = []
    rows: list[Row] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().strip("\x00")
        if not line:
            continue
        if line.startswith(_COMMENTS):
            comments.append(line)
            continue
        first, _, rest = _split(line)
        if not rows and not _is_number(first) and _is_heading(first, rest):
            comments.append(line)
            continue
        rows.append(Row(number, first, rest))
    heading = "\n".join(comments).lower()
    return TextList(path, heading, tuple(rows), _stamp_unit([r.stamp for r in rows], heading))


def file_name(rest: str) -> str:
    """Return the file name that leads the rest of a row."""
    name = _SHARP.split(rest)[0] if _SHARP.search(rest) else rest
    return name.strip().strip("\"'").replace("\\", "/")


def numbers(rest: str) -> list[str]:
    """Return the fields of the rest of a row of numbers, up to a comment."""
    return [f.strip("\"'") for f in _BETWEEN.split(rest.split("#", 1)[0].strip()) if f]


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        encoding = next((e for mark, e in _MARKS if data.startswith(mark)), "utf-8")
        return data.decode(encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}: save it as plain text") from error


def _split(line: str) -> tuple[str, str, str]:
    found = _BETWEEN.search(line)
    if found is None:
        return line.strip("\"'"), "", ""
    return line[:found.start()].strip("\"'"), found.group(), line[found.end():].rstrip(" ,;\t")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_heading(first: str, rest: str) -> bool:
    """Tell a heading from a row whose stamp is wrong, which names a file or holds numbers."""
    fields = numbers(rest)
    if not fields or not re.match(r"[a-z_\[(]", first, re.IGNORECASE):
        return False
    return not any(_is_number(field) or re.search(r"\.\w{3,4}$", field) for field in fields)


def _stamp_unit(stamps: list[str], heading: str) -> int | None:
    """Return nanoseconds per unit of stamps that are whole numbers; None for decimal seconds."""
    whole = [s for s in stamps if _WHOLE.fullmatch(s)]
    if not whole or len(whole) < 0.5 * len(stamps):
        return None
    for said, unit_ns in _SAID:
        if re.search(said, heading):
            return unit_ns
    digits = float(np.median([len(s.lstrip("+-")) for s in whole]))
    for least, unit_ns in _DIGITS:
        if digits >= least:
            return unit_ns if digits < 20 else None
    values = sorted({int(s) for s in whole})
    steps = [b - a for a, b in zip(values, values[1:], strict=False)]
    step = float(np.median(steps)) if steps else 0.0
    return next((unit_ns for least, unit_ns in _STEPS if step >= least), None)
