"""The documentation builds without a warning: every link, every page, every docstring."""

import importlib.util
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: "
                    "pip install '.[docs]'")
def test_the_documentation_builds(repository, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tracker = (tmp_path / "reference" / "ace_slam_ros.core.tracking.html").read_text()
    assert 'id="ace_slam_ros.core.tracking.tracker.Tracker.track"' in tracker
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert 'src="http' not in text and "fonts.googleapis" not in text, (
            f"{page} asks another server")


def test_ros_tooling_reads_the_changelog(repository):
    changelog = pytest.importorskip("catkin_pkg.changelog").get_changelog_from_path(
        str(repository), "ace_slam_ros")
    import ace_slam_ros

    assert ace_slam_ros.__version__ in [version for version, _, _ in changelog.foreach_version()]
    assert "A core without ROS" in str(changelog)
    text = (repository / "CHANGELOG.rst").read_text()
    assert "\nForthcoming\n-----------\n" in text, "catkin_prepare_release renames that section"
    sections = {line.strip("*") for line in text.splitlines() if line.startswith("**")}
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security",
                        "Known limits"}
