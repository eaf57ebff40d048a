"""Between ROS messages and the core's types; which ROS library is used for it."""
