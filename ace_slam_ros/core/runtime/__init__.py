"""The machine: device, threads, priority, memory, folders; nothing of SLAM."""
