"""The ROS-free core: sensor data in, poses and maps out. Nothing here imports rclpy."""
