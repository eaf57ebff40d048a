"""What navigation needs of depth images and keyframes, without ROS."""
