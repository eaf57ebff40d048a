"""Makes the helpers beside the tests importable, and gives every run a DDS domain of its own."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
# Before any test imports rclpy: nothing on this machine or network may answer or listen.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
