"""Checks of the installation and the machine that need neither ROS nor a camera."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..core.errors import AceSlamError
from ..core.runtime.state_folder import state_root
from .findings import Finding, good, note, problem

if TYPE_CHECKING:
    from ..core.config.sections import SlamConfig
    from ..ros.messages.compat import RobotLibrary

Importer = Callable[[str], ModuleType]

#: Import name -> (least version, what pip calls it).
LIBRARIES = {
    "numpy": ((1, 21), "numpy"), "scipy": ((1, 8), "scipy"),
    "cv2": ((4, 5), "opencv-python-headless"), "torch": ((2, 1), "torch"),
    "safetensors": ((0, 4), "safetensors"), "yaml": ((5, 4), "PyYAML"),
    "rosbags": ((0, 10), "rosbags"),
}
#: Three publishers of images with the shipped FastDDS profile, and the weights.
SHARED_MEMORY_BYTES = 128 << 20
#: One 640x480 color image and its depth; the kernel's default holds a fifth of one.
SOCKET_BUFFER_BYTES = 2 << 20


def installation(config: SlamConfig, load: Importer = importlib.import_module) -> list[Finding]:
    """Check Python, libraries, ROS packages and the encoder."""
    found = [python_version(sys.version_info[:3])]
    found += [library(name, load) for name in LIBRARIES]
    found += ros_packages(load)
    found += [loops(), encoder(config), pixels()]
    return found


def python_version(version: tuple[int, ...]) -> Finding:
    """Check the interpreter."""
    text = ".".join(map(str, version))
    if version[:2] < (3, 10):
        return problem("python", f"{text} is older than 3.10",
                       "PYTHON=/path/to/python3.11 make setup")
    return good("python", f"{text}, {sys.executable}")


def library(name: str, load: Importer) -> Finding:
    """Import one library for real: a binary that does not fit fails only then."""
    least, package = LIBRARIES[name]
    command = f"{sys.executable} -m pip install '{package}>={_dotted(least)}'"
    try:
        module = load(name)
    except ImportError as error:
        return problem(name, f"cannot be imported: {error}", command)
    except Exception as error:
        return problem(
            name, f"breaks on import: {type(error).__name__}: {error}", f"{command} --upgrade")
    version = str(getattr(module, "__version__", "")) or _installed_version(package)
    if not version:
        return good(name, "installed, version unknown")
    if _numbers(version) < least:
        return problem(name, f"{version} is older than {_dotted(least)}", f"{command} --upgrade")
    return good(name, version)


def ros_packages(load: Importer) -> list[Finding]:
    """Check rclpy, the package's messages, and the optional ROS libraries."""
    try:
        load("rclpy")
    except ImportError:
        return [note("rclpy", "not installed: recordings can be processed, live nodes not",
                     "make setup, then .venv/bin/ace-slam; or source /opt/ros/*/setup.bash")]
    except Exception as error:
        return [problem("rclpy", f"breaks on import: {type(error).__name__}: {error}",
                        "make clean-setup setup, or reinstall ROS 2")]
    found = [good("rclpy", os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp (default)"))]
    try:
        load("ace_slam_ros.msg")
        load("ace_slam_ros.srv")
        found.append(good("messages", "ace_slam_ros.msg and .srv are built"))
    except ImportError as error:
        found.append(problem("messages", f"of ace_slam_ros are not built: {error}",
                             "make setup, or colcon build && source install/setup.bash"))
    try:
        compat = load("ace_slam_ros.ros.messages.compat")
        found += [robot_library(lib) for lib in compat.LIBRARIES]
    except ImportError as error:
        found.append(problem("ROS messages", f"cannot be imported: {error}",
                             "make setup, or rosdep install --from-paths src --ignore-src"))
    try:
        load("tf2_msgs.msg")
    except ImportError:
        found.append(problem("tf2_msgs", "not installed: no transforms go in or out",
                             "make setup, or rosdep install --from-paths src --ignore-src"))
    return found


def robot_library(library: RobotLibrary) -> Finding:
    """Say whether the nodes use one of ROS's libraries here, as they decide it themselves."""
    why_not = library.why_not()
    if not why_not:
        return good(library.name, "installed and used")
    text = f"{why_not}: {library.without}"
    return note(library.name, text) if library.broken else good(library.name, text)


def loops() -> Finding:
    """Say whether the loops of tracking and localization are compiled."""
    from ..core.runtime import compiled

    if compiled.AVAILABLE:
        return good("loops", f"compiled by {compiled.describe()}")
    return note("loops", f"run in {compiled.describe()}; {sys.executable} -m pip install numba")


def encoder(config: SlamConfig) -> Finding:
    """Load the encoder and describe a blank image with it."""
    try:

        from ..core.encoders.loading import load_encoder

        loaded = load_encoder(config.encoder, "cpu")
        loaded.warm_up(64, 64)
    except AceSlamError as error:
        return problem("encoder", str(error), "git checkout -- "
                       "ace_slam_ros/core/encoders/assets, or reinstall the package")
    except Exception as error:
        return problem("encoder", f"does not run: {type(error).__name__}: {error}",
                       f"{sys.executable} -m pip install --force-reinstall torch")
    return good("encoder", f"{loaded.name}, hash {loaded.hash}, {loaded.runs_in}")


def pixels() -> Finding:
    """Say what solves the poses of queries without depth."""
    from ..core.localization.rgb import solver_name

    name = solver_name()
    return good("poses from pixels", name if name.startswith("PoseLib") else (
        f"{name}; {sys.executable} -m pip install poselib finds more where much repeats"))


def gpu(config: SlamConfig) -> Finding:
    """Check that the device asked for is there, and that a GPU present is used."""
    try:
        import torch

        from ..core.runtime.device import choose_device

        device = choose_device(config.device)
    except AceSlamError as error:
        return problem("device", str(error), "--set device=auto")
    except Exception as error:
        return problem("device", f"torch does not run: {type(error).__name__}: {error}",
                       f"{sys.executable} -m pip install --force-reinstall torch")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return good("device", f"{torch.cuda.get_device_name(device)}, "
                              f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    if has_nvidia() and torch.version.cuda is None:
        return note("device", f"an NVIDIA GPU is here, but torch {torch.__version__} is built "
                    "without CUDA", f"{sys.executable} -m pip install --force-reinstall torch")
    if has_nvidia() and config.device == "auto":
        return note("device", "an NVIDIA GPU is here, but torch cannot use it",
                    "nvidia-smi shows the driver's version; install a torch built for it")
    return good("device", f"cpu, {os.cpu_count()} cores")


def has_nvidia() -> bool:
    """Tell whether an NVIDIA driver or a Jetson is here."""
    signs = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/etc/nv_tegra_release")
    return any(os.path.exists(sign) for sign in signs)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Check that images and weights fit into shared memory."""
    try:
        usage = shutil.disk_usage(folder)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        return problem("shared memory", f"{folder}: {error.strerror}",
                       "mount -t tmpfs tmpfs /dev/shm; in a container: --ipc=host")
    if not writable:
        return problem("shared memory", f"{folder} cannot be written",
                       "sudo chmod 1777 /dev/shm; in a container: --ipc=host")
    megabytes, wanted = usage.free / 2**20, SHARED_MEMORY_BYTES / 2**20
    if usage.free < SHARED_MEMORY_BYTES:
        return problem(
            "shared memory", f"{megabytes:.0f} MB free in {folder}, images need {wanted:.0f} MB",
            "sudo mount -o remount,size=1G /dev/shm; in a container: --shm-size=1g; remove what "
            "dead processes left with `fastdds shm clean`")
    return good("shared memory", f"{megabytes:.0f} MB free in {folder}")


def socket_buffers(proc: Path = Path("/proc/sys/net/core")) -> Finding:
    """Check the kernel's largest socket buffer, which images from other machines need."""
    try:
        size = int((proc / "rmem_max").read_text())
    except (OSError, ValueError):
        return note("socket buffers", "the kernel does not tell their size")
    text = f"receive buffers of {size / 2**20:.2g} MB at most"
    if size < SOCKET_BUFFER_BYTES:
        return note(
            "socket buffers", f"{text}: images from another machine get lost; on one machine "
            "shared memory carries them",
            f"sudo sysctl -w net.core.rmem_max={8 << 20} net.core.rmem_default={4 << 20}")
    return good("socket buffers", text)


def state_folder(environment: Mapping[str, str] = os.environ) -> Finding:
    """Check that the mapper can keep its session for a restart."""
    root = folder = state_root(environment)
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return problem("state folder", f"{root} cannot be written: a killed mapper cannot resume",
                       "export XDG_STATE_HOME=/a/folder/you/can/write")
    free = shutil.disk_usage(folder).free / 2**20
    if free < 200:
        return problem("state folder", f"{free:.0f} MB free for maps in {root}",
                       "make room, or export XDG_STATE_HOME=/another/disk")
    return good("state folder", f"{root}, {free / 1024:.0f} GB free")


def machine(config: SlamConfig) -> list[Finding]:
    """Check GPU, shared memory, socket buffers and disk."""
    return [gpu(config), shared_memory(), socket_buffers(), state_folder()]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _numbers(version: str) -> tuple[int, ...]:
    parts: list[int] = []
    for word in version.split("+")[0].split("."):
        digits = "".join(c for c in word if c.isdigit())
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def _installed_version(package: str) -> str:
    import importlib.metadata as metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def environment_figures(
    config: SlamConfig, environment: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Return what a bug report should state: platform and settings that matter."""
    import platform

    names = ("ROS_DISTRO", "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY",
             "RMW_IMPLEMENTATION", "FASTRTPS_DEFAULT_PROFILES_FILE",
             "FASTDDS_DEFAULT_PROFILES_FILE", "CYCLONEDDS_URI")
    return {
        "platform": platform.platform(), "cores": os.cpu_count(), "device": config.device,
        "load_1min": round(os.getloadavg()[0], 2),
        "environment": {name: environment[name] for name in names if name in environment},
    }
