"""What a check found: good, worth knowing, or a problem with the command that fixes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

GOOD, NOTE, PROBLEM = "good", "note", "problem"
_MARKS = {GOOD: "ok", NOTE: "note", PROBLEM: "WRONG"}


@dataclass(frozen=True)
class Finding:
    """One answer of `ace-slam doctor`.

    Attributes:
        check: what was looked at, such as "python" or "/rgb/image".
        level: GOOD; NOTE = works, but knowing it may help; PROBLEM = has to be fixed.
        text: what was found, one sentence.
        fix: the command or setting that puts it right, empty when nothing is to do.
    """

    check: str
    level: str
    text: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the fields for JSON."""
        return asdict(self)


def good(check: str, text: str) -> Finding:
    """Make a finding that asks for nothing."""
    return Finding(check, GOOD, text)


def note(check: str, text: str, fix: str = "") -> Finding:
    """Make a finding that is worth knowing."""
    return Finding(check, NOTE, text, fix)


def problem(check: str, text: str, fix: str) -> Finding:
    """Make a finding that has to be fixed, with the way to do it."""
    return Finding(check, PROBLEM, text, fix)


def has_problem(findings: Iterable[Finding]) -> bool:
    """Tell whether anything has to be fixed."""
    return any(f.level == PROBLEM for f in findings)


def format_findings(findings: Iterable[Finding]) -> list[str]:
    """Return lines for a terminal: one per finding, and one below it for the fix."""
    lines: list[str] = []
    for found in findings:
        lines.append(f"{_MARKS[found.level]:>5}  {found.check}: {found.text}")
        if found.fix:
            lines.append(f"{'':>5}    -> {found.fix}")
    return lines


def summary(findings: list[Finding], figures: dict[str, Any]) -> dict[str, Any]:
    """Return everything as one JSON object; `ok` means that nothing has to be fixed."""
    return {
        "ok": not has_problem(findings), "findings": [f.to_dict() for f in findings],
        "figures": figures,
    }
