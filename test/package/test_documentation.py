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
