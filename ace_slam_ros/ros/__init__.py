"""ROS 2 nodes: thin layers that convert messages, call the core and publish."""

from .process.environment import prepare_environment

# Before any module below imports torch or rclpy: both read the environment when they load.
prepare_environment()
