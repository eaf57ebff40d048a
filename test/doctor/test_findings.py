"""The report of findings: a fix below its problem, counts at the end."""

import json

from ace_slam_ros.doctor.findings import (
    format_findings,
    good,
    has_problem,
    note,
    problem,
    summary,
)


def test_report_says_fix_below_its_problem():
    found = [good("a", "fine"), note("b", "slow", "hurry"), problem("c", "broken", "mend it")]
    assert format_findings(found) == [
        "   ok  a: fine", " note  b: slow", "         -> hurry", "WRONG  c: broken",
        "         -> mend it"]
    told = json.loads(json.dumps(summary(found, {"x": 1})))
    assert not told["ok"] and told["findings"][2] == {
        "check": "c", "level": "problem", "text": "broken", "fix": "mend it"}
    assert summary(found[:2], {})["ok"] and not has_problem(found[:2])
