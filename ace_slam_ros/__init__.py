"""Live scene-coordinate-regression SLAM for RGB-D cameras, with and without ROS 2."""

from pkgutil import extend_path

# The generated `ace_slam_ros.msg` and `ace_slam_ros.srv` live in the install prefix; without this
# line a source tree on sys.path would shadow them.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
