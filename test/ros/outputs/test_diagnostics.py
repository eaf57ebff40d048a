"""The worst problem comes first."""

import rclpy

from ace_slam_ros.ros.outputs.diagnostics import ERROR, WARN, Report


def test_the_worst_problem_comes_first():
    report = Report(values={"rate_hz": 29.97123})
    report.warn("slow")
    report.warn("")
    report.error("no data")
    status = report.to_msg("tracker", rclpy.time.Time().to_msg()).status[0]
    assert status.level == bytes([ERROR]) and status.message == "no data; slow"
    assert [(v.key, v.value) for v in status.values] == [("rate_hz", "29.97")]
    report.problems = [(WARN, "slow")]
    assert report.to_msg("t", rclpy.time.Time().to_msg()).status[0].level == bytes([WARN])
