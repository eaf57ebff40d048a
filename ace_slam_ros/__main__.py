"""`python -m ace_slam_ros` is `ace-slam`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
