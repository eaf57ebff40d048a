"""An extension of griffe: a docstring's line about several names becomes one line each."""

from __future__ import annotations

import re
from typing import Any

import griffe

#: `    width, height: of the image.` and its indented continuation.
_GROUP = re.compile(r"(?m)^    (\w+(?:, \w+)+): (.*(?:\n {6,}.*)*)")


class DocstringGroups(griffe.Extension):
    """Splits such lines before the sections are parsed."""

    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = _GROUP.sub(_split, obj.docstring.value)


def _split(found: re.Match[str]) -> str:
    return "\n".join(f"    {name}: {found[2]}" for name in found[1].split(", "))
