"""The core and the command line import on a machine without ROS."""

import subprocess
import sys

WITHOUT_ROS = """
import importlib, importlib.abc, pkgutil, sys

class Blocker(importlib.abc.MetaPathFinder):
    roots = {"rclpy", "rosidl_runtime_py", "rosidl_parser", "ament_index_python", "launch",
             "launch_ros", "cv_bridge", "message_filters", "tf2_ros", "sensor_msgs_py",
             "sensor_msgs", "geometry_msgs", "nav_msgs", "std_msgs", "std_srvs",
             "diagnostic_msgs", "builtin_interfaces", "rosgraph_msgs", "tf2_msgs"}
    generated = {"ace_slam_ros.msg", "ace_slam_ros.srv"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.roots or name in self.generated:
            raise ImportError(f"blocked: {name}")

sys.meta_path.insert(0, Blocker())
try:
    import rclpy
except ImportError:
    pass
else:
    sys.exit("the blocker does not block")

import ace_slam_ros.core
names = [m.name for m in pkgutil.walk_packages(ace_slam_ros.core.__path__, "ace_slam_ros.core.")]
for name in [*names, "ace_slam_ros.cli"]:
    importlib.import_module(name)
assert not {name for name in sys.modules if name.startswith("ace_slam_ros.ros.")}
print(*names)
"""


def test_every_core_module_imports_without_ros():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert {"ace_slam_ros.core.config.sections", "ace_slam_ros.core.geometry.se3"} <= set(names)


def test_the_public_interface_is_what_it_says_and_loads_no_torch_before_it_must():
    code = ("import sys, ace_slam_ros.core as core\n"
            "assert 'torch' not in sys.modules\n"
            "core.SlamConfig\nassert 'torch' not in sys.modules\n"
            "assert set(dir(core)) == set(core.__all__) == set(core._PLACES)\n"
            "assert all(getattr(core, name).__name__ == name for name in core.__all__)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
