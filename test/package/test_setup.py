"""`make setup`: quick and offline the second time, repairs itself, asks for what is missing."""

import importlib.util
import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "scripts" / "setup.sh"
BASH = shutil.which("bash") or "/bin/bash"


@pytest.fixture
def environment_script():
    """Return scripts/make_environment.py as a fresh module."""
    spec = importlib.util.spec_from_file_location(
        "make_environment", ROOT / "scripts" / "make_environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv" or (ROOT / ".venv").is_symlink(),
                    reason="not run from this checkout's .venv")
def test_second_run_is_quick_and_offline():
    first = subprocess.run([SETUP], capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    nowhere = "http://127.0.0.1:9"
    offline = dict(os.environ, PIP_NO_INDEX="1", http_proxy=nowhere, https_proxy=nowhere)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = subprocess.run([SETUP], env=offline, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert second.stdout == "setup: up to date\n" and second.returncode == 0
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5.0


@pytest.fixture
def bare_machine(tmp_path):
    """A machine with a shell and nothing else: (run setup.sh there, its bin folder)."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tmp_path / "project" / "scripts").mkdir(parents=True)
    shutil.copy(SETUP, tmp_path / "project" / "scripts" / "setup.sh")
    (tmp_path / "project" / "scripts" / "make_environment.py").write_text("print('reached')")
    for name in ("dirname", "cat", "chmod"):
        (tools / name).symlink_to(shutil.which(name))

    def run() -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [BASH, tmp_path / "project" / "scripts" / "setup.sh"], env={"PATH": str(tools)},
            capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done

    return run, tools


def add_tool(tools: Path, name: str, body: str) -> None:
    """Put a shell script into the bare machine."""
    path = tools / name
    path.write_text(f"#!{BASH}\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def add_python(tools: Path) -> None:
    """Put this Python, which has venv and headers, into the bare machine."""
    add_tool(tools, "python3.11", f'exec "{os.path.realpath(sys.executable)}" "$@"')


def test_an_environment_of_another_checkout_is_left_alone(bare_machine, tmp_path):
    run, tools = bare_machine
    add_python(tools)
    add_tool(tools, "c++", "exit 0")
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyvenv.cfg").write_text("version = 3.11.7\n")
    (tmp_path / "project" / ".venv").symlink_to(other)
    done = run()
    assert done.returncode == 2 and "reached" not in done.stdout
    assert ".venv is a link" in done.stderr and "rm .venv" in done.stderr
    assert (other / "pyvenv.cfg").exists()


def test_missing_python_prints_one_command(bare_machine):
    run, tools = bare_machine
    add_tool(tools, "id", "echo 1000")
    add_tool(tools, "apt-get", "exit 1")
    add_tool(tools, "apt-cache", "exit 0")
    add_tool(tools, "python3.11", "echo 'a shim without a Python behind it' >&2; exit 127")
    done = run()
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].strip() == (
        "sudo apt-get install -y --no-install-recommends "
        "python3.11 python3.11-venv python3.11-dev")


@pytest.mark.parametrize(("default", "offered", "chosen"), [
    ("3.13.5-1", "3.13", "3.13"),  # Debian 13
    ("3.10.6-1~22.04", "3.10|3.11", "3.10"),  # Ubuntu 22.04, whose 3.11 is a release candidate
    ("3.15.2-1", "3.14|3.15", "3.14"),  # later than what our libraries know
    ("3.9.2-3", "3.9", "3.11"),
])
def test_python_of_the_distribution_is_installed(bare_machine, default, offered, chosen):
    run, tools = bare_machine
    add_tool(tools, "id", "echo 1000")
    add_tool(tools, "apt-get", "exit 1")
    names = "|".join(f"python{version}" for version in offered.split("|"))
    add_tool(tools, "apt-cache", f"""
        case "$2" in
          python3) echo "Package: python3"; echo "Version: {default}" ;;
          {names}) ;;
          *) exit 100 ;;
        esac""")
    done = run()
    assert done.returncode == 2
    assert "no Python 3.10 to 3.14 with" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        f" python{chosen} python{chosen}-venv python{chosen}-dev")


@pytest.mark.parametrize(("version", "accepted"), [
    ("3.9", False), ("3.10", True), ("3.11", True), ("3.12", True), ("3.13", True),
    ("3.14", True), ("3.15", False), ("3.1", False)])
def test_python_versions(bare_machine, version, accepted):
    run, tools = bare_machine
    add_tool(tools, "python3", f"""
        if [ "$1" = -c ]; then echo {version}
        elif [ "$1" = - ]; then exit 0
        else echo "$1 with {version}"; fi""")
    add_tool(tools, "c++", "exit 0")
    done = run()
    if accepted:
        assert done.stdout == f"scripts/make_environment.py with {version}\n"
    else:
        assert done.returncode == 2 and "no Python 3.10 to 3.14" in done.stderr


def test_missing_compiler_prints_one_command(bare_machine):
    run, tools = bare_machine
    add_python(tools)
    add_tool(tools, "id", "echo 1000")
    add_tool(tools, "apt-get", "exit 1")
    done = run()
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].strip() == (
        "sudo apt-get install -y --no-install-recommends g++")


def test_root_installs_the_compiler(bare_machine):
    run, tools = bare_machine
    add_python(tools)
    add_tool(tools, "id", "echo 0")
    add_tool(tools, "apt-get", f"""
        echo "$*" >> "{tools}/apt.log"
        if [ "$1" = install ]; then echo > "{tools}/g++"; chmod +x "{tools}/g++"; fi""")
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "reached"
    calls = (tools / "apt.log").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["update", "install"]
    assert "g++" in calls[1].split()


def test_system_without_apt_names_the_packages(bare_machine):
    run, _ = bare_machine
    done = run()
    assert done.returncode == 2
    assert "python3.11-venv" in done.stderr


def test_unusable_chosen_python_is_refused(bare_machine):
    run, tools = bare_machine
    add_tool(tools, "id", "echo 1000")
    done = subprocess.run(
        [BASH, SETUP], env={"PATH": str(tools), "PYTHON": "/nowhere/python3"},
        capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "/nowhere/python3" in done.stderr


def test_interrupted_step_is_repeated(environment_script, tmp_path, monkeypatch):
    monkeypatch.setattr(environment_script, "STAMPS", tmp_path / "stamps")
    calls = []

    def killed():
        calls.append("killed")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environment_script.step("packages", "key", killed)
    for _ in range(2):
        environment_script.step("packages", "key", lambda: calls.append("done"))
    environment_script.step("packages", "another key", lambda: calls.append("changed"))
    assert calls == ["killed", "done", "changed"]


@pytest.mark.slow
def test_environment_of_a_killed_pip_is_not_trusted(environment_script, tmp_path, monkeypatch):
    monkeypatch.setattr(environment_script, "ROOT", tmp_path)
    monkeypatch.setattr(environment_script, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment_script, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(
        environment_script, "UNFINISHED", tmp_path / ".venv" / "setup-unfinished")
    monkeypatch.delenv("PYTHON", raising=False)
    environment_script.make_venv()
    assert environment_script.venv_usable()
    with pytest.raises(environment_script.SetupError), environment_script.unfinished():
        raise environment_script.SetupError("no network: pip ended by itself")
    assert environment_script.venv_usable()
    with pytest.raises(KeyboardInterrupt), environment_script.unfinished():
        raise KeyboardInterrupt
    assert not environment_script.venv_usable()


def test_cmake_exports_are_repaired_once(environment_script):
    broken = ('INTERFACE_INCLUDE_DIRECTORIES "/opt/python/cp311-cp311/include/python3.11;'
              '/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include;'
              '${_IMPORT_PREFIX}/include"')
    repaired = environment_script.with_local_paths(broken, "/py", "/np")
    assert repaired == 'INTERFACE_INCLUDE_DIRECTORIES "/py;/np;${_IMPORT_PREFIX}/include"'
    assert environment_script.with_local_paths(repaired, "/py", "/np") == repaired


def test_settings_of_tools_reinstall_nothing(environment_script):
    text = (ROOT / "pyproject.toml").read_text()
    needs = environment_script.needs(text)
    assert "torch>=2.1" in needs and "ros-jazzy-rclpy" in needs and "build-backend" in needs
    assert "ace_slam_ros.cli:main" in needs
    assert "line-length" not in needs and "strict = true" not in needs
    assert environment_script.needs(text + "\n[tool.more]\nkey = 1\n") == needs


def test_foreign_ros_does_not_leak_in(environment_script, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/opt/ros/jazzy/lib/python3.12/site-packages")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/jazzy")
    assert "/opt/ros" not in " ".join(environment_script.environment().values())
