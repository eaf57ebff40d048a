"""The core's log lines reach the node's log with their severity, and only while the node runs."""

import logging

import pytest
import rclpy.logging
from rclpy.logging import LoggingSeverity

from ace_slam_ros.core.errors import DataError, one_line
from ace_slam_ros.ros.process.core_logging import core_log_in

core = logging.getLogger("ace_slam_ros.core.anything")


@pytest.fixture
def logger(monkeypatch):
    """A ROS logger that remembers what it is told."""
    logger = rclpy.logging.get_logger("core_log")
    said = []
    for level in ("debug", "info", "warning", "error"):
        monkeypatch.setattr(
            logger, level, lambda text, level=level: said.append((level, text)))
    logger.said = said
    return logger


def test_names_from_elsewhere_forge_no_lines(logger):
    with core_log_in(logger):
        core.warning("frame %s", "cam\n[ERROR] [tracker]: forged\x1b[31m")
    assert logger.said == [("warning", r"frame cam\n[ERROR] [tracker]: forged\x1b[31m")]
    assert str(DataError("encoding 'a\nb'\u2028")) == r"encoding 'a\nb'\u2028"
    assert one_line("Büro 7") == "Büro 7"


def test_every_severity_arrives_from_the_nodes_level_on(logger):
    logger.set_level(LoggingSeverity.INFO)
    with core_log_in(logger):
        core.debug("not asked for")
        core.info("map %s", "a")
        core.warning("LOST")
        core.error("torn")
    core.error("after the node")
    assert logger.said == [("info", "map a"), ("warning", "LOST"), ("error", "torn")]


def test_debug_shows_everything_and_the_level_is_restored(logger):
    before = logging.getLogger("ace_slam_ros").level
    logger.set_level(LoggingSeverity.DEBUG)
    with core_log_in(logger):
        core.debug("detail")
    assert logger.said == [("debug", "detail")]
    assert logging.getLogger("ace_slam_ros").level == before


def test_a_real_logger_takes_one_message_of_each_severity(capfd):
    logger = rclpy.logging.get_logger("core_log_real")
    with core_log_in(logger):
        for level in (logging.INFO, logging.WARNING, logging.ERROR, logging.INFO):
            core.log(level, "severity %d", level)
    shown = capfd.readouterr()
    text = shown.out + shown.err
    assert text.count("severity 20") == 2 and "severity 30" in text and "severity 40" in text
    assert "Traceback" not in text
