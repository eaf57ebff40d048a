"""For navigation stacks: the floor, scans of keyframes, the occupancy grid, obstacles."""
