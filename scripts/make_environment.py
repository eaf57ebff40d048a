"""Creates and repairs `.venv`: the project with its Python packages, generated interfaces.

Standard library only. Each step leaves a stamp with the hash of all it depends on, written after
it succeeded; a step whose stamp fits is skipped, so a second run does nothing and needs no
network, and a run that was interrupted is finished by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "setup-stamps"
UNFINISHED = VENV / "setup-unfinished"
TF2_MSGS = ROOT / "scripts" / "tf2_msgs"
PINS = ROOT / "requirements" / "pins.txt"
EXTRAS = "ros,interfaces,fast,pnp,dev,docs"
#: As in setup.sh, and as the classifiers of pyproject.toml say.
FIRST_PYTHON, LAST_PYTHON = (3, 10), (3, 14)
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# Another ROS installation sourced in the calling shell must not leak into this environment.
FOREIGN = (
    "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "LD_LIBRARY_PATH",
    "PYTHONHOME", "PYTHONPATH", "ROS_DISTRO", "ROS_VERSION", "ROS_PYTHON_VERSION", "VIRTUAL_ENV",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)


class SetupError(Exception):
    """A step failed; the message says which and what to do."""


def say(text: str) -> None:
    """Print one progress line at once, also into a pipe."""
    print(f"setup: {text}", flush=True)


def environment() -> dict[str, str]:
    """Return the environment of every command started here."""
    clean = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    clean["PATH"] = f"{VENV / 'bin'}{os.pathsep}{clean.get('PATH', os.defpath)}"
    clean["AMENT_PREFIX_PATH"] = str(VENV)
    clean["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return clean


def run(command: list[str | Path], failure: str) -> None:
    """Run quietly; on failure show the end of the output and raise with `failure`."""
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, env=environment(), text=True,
        errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise SetupError(f"{failure}\n{tail}")


def digest(paths: Iterable[Path], *facts: str) -> str:
    """Hash file names and contents, and further facts."""
    state = hashlib.sha256()
    for path in sorted(paths):
        state.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    state.update("\0".join(facts).encode())
    return state.hexdigest()


def step(name: str, key: str, action: Callable[[], None]) -> None:
    """Run `action` unless the stamp `name` holds `key`."""
    stamp = STAMPS / name
    if stamp.exists() and stamp.read_text() == key:
        return
    stamp.unlink(missing_ok=True)
    start = time.monotonic()
    action()
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(key)
    say(f"  {name} done in {time.monotonic() - start:.0f} s")


@contextmanager
def unfinished() -> Iterator[None]:
    """Mark .venv while it is written to: a killed pip leaves packages it later takes for whole."""
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    try:
        yield
    except SetupError:
        UNFINISHED.unlink()  # the command ended by itself and left nothing half written
        raise
    UNFINISHED.unlink()


def make_venv() -> None:
    """Create an empty virtual environment, replacing a damaged one."""
    say(f"creating .venv with Python {platform.python_version()} ({sys.executable})")
    # Without this file .venv counts as damaged, also when the removal is cut short.
    (VENV / "pyvenv.cfg").unlink(missing_ok=True)
    shutil.rmtree(VENV, ignore_errors=True)
    with unfinished():
        run([sys.executable, "-m", "venv", VENV], "python -m venv failed")


def venv_version() -> str:
    """Return the Python version .venv was made with, like 3.11.2."""
    for line in (VENV / "pyvenv.cfg").read_text().splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "version":
            return value.strip()
    raise SetupError(".venv/pyvenv.cfg names no version; run `make clean-setup setup`")


def site_packages() -> Path:
    """Return the folder of .venv that pip installs into."""
    return VENV / "lib" / f"python{'.'.join(venv_version().split('.')[:2])}" / "site-packages"


def venv_usable() -> bool:
    """Tell whether .venv runs, belongs here, and was not left half written."""
    parts = (PYTHON, VENV / "pyvenv.cfg", VENV / "bin" / "activate")
    if UNFINISHED.exists() or not all(part.exists() for part in parts):
        return False
    version = tuple(int(part) for part in venv_version().split(".")[:2])
    forced = "PYTHON" in os.environ and version != sys.version_info[:2]
    # Entry scripts hold absolute paths: a checkout that was moved needs a new environment.
    moved = str(ROOT) not in (VENV / "bin" / "activate").read_text()
    if forced or moved or not FIRST_PYTHON <= version <= LAST_PYTHON:
        return False
    return subprocess.run(
        [PYTHON, "-m", "pip", "--version"], env=environment(), capture_output=True, check=False,
    ).returncode == 0


def has_nvidia() -> bool:
    """Tell whether an NVIDIA driver or a Jetson is here, which the CUDA build of torch serves."""
    signs = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/etc/nv_tegra_release")
    return any(os.path.exists(sign) for sign in signs)


def install_packages() -> None:
    """Install this checkout in editable mode with all that it needs, in pinned versions."""
    advice = "pip could not install the requirements: check the network and run `make setup` again"
    # what is imported is compiled then: all of it would take a minute
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet", "--no-compile",
                             "--constraint", PINS]
    with unfinished():
        if not has_nvidia():
            # Without a GPU the CPU build saves several GB. Where its index cannot be reached pip
            # says so and takes what the configured index has.
            say("installing torch (CPU build if available)")
            run([*pip, "--no-deps", "--retries", "1", "--timeout", "15",
                 "--extra-index-url", TORCH_CPU_INDEX, "torch"], advice)
        say("installing ROS 2 wheels and libraries (1.8 GB on disk; some minutes)")
        run([*pip, "setuptools"], advice)  # builds the project with the pinned version
        run([*pip, "--no-build-isolation", "--editable", f".[{EXTRAS}]"], advice)
    repair_cmake_exports()


def repair_cmake_exports() -> None:
    """Point the wheels' CMake files to this Python; they name the machine that built them."""
    python_include, numpy_include = subprocess.run(
        [PYTHON, "-c", "import sysconfig, numpy; "
         "print(sysconfig.get_path('include'), numpy.get_include(), sep='\\n')"],
        env=environment(), text=True, capture_output=True, check=True,
    ).stdout.splitlines()[-2:]
    for path in VENV.glob("share/*/cmake/*.cmake"):
        before = path.read_text()
        after = with_local_paths(before, python_include, numpy_include)
        if after != before:
            path.write_text(after)


def with_local_paths(text: str, python_include: str, numpy_include: str) -> str:
    """Replace the include folders of the machine that built a wheel."""
    text = re.sub(r'/opt/python/[^;"]*/numpy/_?core/include', lambda _: numpy_include, text)
    return re.sub(r'/opt/python/[^;"/]+/include/python3\.\d+', lambda _: python_include, text)


def configure_and_build(source: Path, build: Path, advice: str, *options: str) -> None:
    """Run CMake for a package that installs into the environment."""
    run([VENV / "bin" / "cmake", "-G", "Ninja", "-S", source, "-B", build, *options,
         "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release",
         f"-DCMAKE_PREFIX_PATH={VENV}", f"-DCMAKE_INSTALL_PREFIX={VENV}",
         f"-DPython3_EXECUTABLE={PYTHON}"], advice)
    run([VENV / "bin" / "cmake", "--build", build], advice)


def build_tf2_msgs() -> None:
    """Generate tf2_msgs/TFMessage, without which there is no TF; PyPI does not have it."""
    say("building tf2_msgs")
    build = VENV / "build-tf2-msgs"
    shutil.rmtree(build, ignore_errors=True)
    advice = "tf2_msgs could not be built; run `make clean-setup setup` if this persists"
    configure_and_build(TF2_MSGS, build, advice)
    run([VENV / "bin" / "cmake", "--install", build], advice)
    shutil.rmtree(build)


def build_interfaces() -> None:
    """Generate and compile msg/ and srv/ into the prefix of the environment."""
    say("building the interfaces in msg/ and srv/ (half a minute)")
    build = VENV / "build-interfaces"
    shutil.rmtree(build, ignore_errors=True)
    advice = "the interfaces could not be built; run `make clean-setup setup` if this persists"
    configure_and_build(ROOT, build, advice, "-DINTERFACES_ONLY=ON")
    generated = site_packages() / "ace_slam_ros"
    shutil.rmtree(generated, ignore_errors=True)  # as late as possible: somebody may be using it
    run([VENV / "bin" / "cmake", "--install", build], advice)
    # Without its empty __init__.py this folder is only a portion of the package in the source
    # tree; with it, it would hide the source tree. The egg-info belongs to the same install.
    (generated / "__init__.py").unlink()
    for leftover in site_packages().glob("ace_slam_ros-*.egg-info"):
        shutil.rmtree(leftover)
    shutil.rmtree(build)


def needs(pyproject: str) -> str:
    """Return the part of pyproject.toml that is about packages, without its tools' settings."""
    tables = re.split(r"^(?=\[)", pyproject, flags=re.MULTILINE)
    return "".join(table for table in tables if not table.startswith(("[tool.", "[[tool.")))


def verify() -> None:
    """Import what the rest relies on, from another folder."""
    code = ("import cv2, torch, rclpy, ace_slam_ros.core.config.sections; "
            "from ace_slam_ros.msg import Keyframe, SlamStatus; "
            "from ace_slam_ros.srv import Relocalize; from rclpy.type_support import "
            "check_for_type_support as c; c(Keyframe); c(SlamStatus); c(Relocalize)")
    run([PYTHON, "-c", f"import os; os.chdir('/'); {code}"],
        "the new environment does not work; run `make clean-setup setup`")


def compile_kernels() -> None:
    """Compile the loops for this processor; they are kept beside their sources."""
    say("compiling the loops (half a minute)")
    run([PYTHON, "-m", "ace_slam_ros.apps.warm_up"],
        "the core does not run; run `make clean-setup setup` if this persists")


def set_up() -> None:
    """Bring .venv to the state this checkout asks for."""
    interfaces = [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv"), ROOT / "CMakeLists.txt",
                  ROOT / "package.xml"]
    if not venv_usable():
        make_venv()
    venv_key = digest([Path(__file__).resolve()], venv_version(), str(ROOT))
    packages_key = digest(
        [PINS, ROOT / "setup.py", ROOT / "setup.cfg"], venv_key,
        needs((ROOT / "pyproject.toml").read_text()))
    interfaces_key = digest(interfaces, packages_key)
    tf2_key = digest([p for p in TF2_MSGS.rglob("*") if p.is_file()], packages_key)
    final_key = digest([], interfaces_key, tf2_key)
    loops = [path for name in ("core", "io")
             for path in (ROOT / "ace_slam_ros" / name).rglob("*.py")]
    kernels_key = digest(loops, final_key)
    if (STAMPS / "kernels").exists() and (STAMPS / "kernels").read_text() == kernels_key:
        say("up to date")
        return
    step("packages", packages_key, install_packages)
    step("interfaces", interfaces_key, build_interfaces)
    step("tf2-msgs", tf2_key, build_tf2_msgs)
    step("all", final_key, verify)
    step("kernels", kernels_key, compile_kernels)
    say("ready: .venv/bin/ace-slam")


def main() -> int:
    """Run alone, and turn failures into one message."""
    try:
        (ROOT / ".cache").mkdir(exist_ok=True)
        with open(ROOT / ".cache" / "setup.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            set_up()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"setup: {error}: check the folder's permissions and the free space",
              file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; `make setup` continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
