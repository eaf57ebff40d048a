"""Shared memory of dead processes goes, that of living ones stays."""

import fcntl
import os
import signal
import subprocess
import sys
import time

from ace_slam_ros.ros.process.fastdds import remove_dead_segments

OLD_S = time.time() - 60.0


def segment(folder, name, old=True):
    for path, size in ((folder / name, 8192), (folder / f"{name}_el", 0)):
        path.write_bytes(b"x" * size)
        if old:
            os.utime(path, (OLD_S, OLD_S))


def test_only_what_nobody_holds_is_removed(tmp_path):
    dead, young, living = (f"fastrtps_{k:016x}" for k in range(3))
    segment(tmp_path, dead)
    segment(tmp_path, young, old=False)
    segment(tmp_path, living)
    kept = ("fastrtps_port7412", "fastrtps_port7412_el", "sem.other", f"ace_slam_{dead}_el")
    for name in kept:
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (OLD_S, OLD_S))
    with (tmp_path / f"{living}_el").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert remove_dead_segments(tmp_path) == 8192
    assert {p.name for p in tmp_path.iterdir()} == {
        young, f"{young}_el", living, f"{living}_el", *kept}
    assert remove_dead_segments(tmp_path / "nowhere") == 0


def test_a_real_participant_is_recognized(tmp_path):
    """FastDDS names and locks its segments as this module believes."""
    code = ("import ace_slam_ros.ros, rclpy, sys\nrclpy.init()\nn = rclpy.create_node('holder')\n"
            "print('up', flush=True)\nsys.stdin.read()")

    def names():
        return {n for n in os.listdir("/dev/shm") if n.endswith("_el") and "port" not in n}

    before = names()
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "up\n"
    made = names() - before
    inodes = {os.stat(f"/proc/{holder.pid}/fd/{fd}").st_ino
              for fd in os.listdir(f"/proc/{holder.pid}/fd")}
    own = [n for n in made if os.stat(f"/dev/shm/{n}").st_ino in inodes]
    assert own
    for name in own:
        os.utime(f"/dev/shm/{name}", (OLD_S, OLD_S))
    files = [f"/dev/shm/{n}" for name in own for n in (name, name.removesuffix("_el"))]
    remove_dead_segments()
    assert all(map(os.path.exists, files)), "its owner lives"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert all(map(os.path.exists, files)), "FastDDS cleans up by itself: this is not needed"
    remove_dead_segments()
    assert not any(map(os.path.exists, files))
