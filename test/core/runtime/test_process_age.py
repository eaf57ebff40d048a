"""The age of a process counts from its start, not from the import that asks."""

import subprocess
import sys

ASK = ("import time; time.sleep(0.3)\n"
       "from ace_slam_ros.core.runtime.process_age import process_age_s\n"
       "first = process_age_s(); time.sleep(0.2); print(first, process_age_s())")


def test_the_time_before_the_question_counts():
    found = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    first, second = (float(word) for word in found.stdout.split())
    assert 0.28 < first < second < 60.0 and second - first > 0.19
