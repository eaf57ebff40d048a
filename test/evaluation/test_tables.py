"""Tables are aligned."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ace_slam_ros.evaluation.tables import format_table


def test_table():
    assert format_table([["ATE", 0.0123456, None], ["frames", 798, True]],
                        ["what", "value", "ok"]) == (
        "what      value  ok\n"
        "------  -------  ---\n"
        "ATE     0.01235  -\n"
        "frames      798  yes")
    assert format_table([]) == ""
    assert format_table([["a", math.nan], ["long name", 2.0]]) == "a          -\nlong name  2"


@given(st.lists(st.lists(st.none() | st.integers() | st.floats() | st.text("abc", max_size=5),
                         max_size=4), max_size=5))
def test_columns_start_in_one_place(rows):
    text = format_table(rows, ["head"])
    lines = text.split("\n")
    assert len(lines) == len(rows) + 2
    assert max(map(len, lines)) <= len(lines[1])
