"""Bags of ROS 2 and ROS 1: which topics are the camera's, reading, writing."""
