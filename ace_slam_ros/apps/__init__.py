"""What each command of `ace-slam` does, without ROS: run a recording, relocalize one, report."""
