"""Many skipped frames are told."""

from ace_slam_ros.ros.outputs.status_topic import StatusOutput


def test_many_skipped_frames_are_told(graph):
    make, _ = graph
    output = StatusOutput(make("slow"), "map")
    for _ in range(12):  # a quarter, of a camera with 30 Hz
        assert output.problem() == "" or output.received >= 30
        output.received += 30
        output.replaced += 8
    assert "80 of the last 300 frames were skipped" in output.problem()
    for _ in range(12):
        output.received += 30
        told = output.problem()
    assert told == ""
    output.close()
