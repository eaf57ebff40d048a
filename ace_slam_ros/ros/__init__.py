"""rclpy nodes and message conversions: declare, convert, call core, publish."""
