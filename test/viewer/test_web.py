"""The page of the live view: served to this machine alone, and gone with who asked for it."""

import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from ace_slam_ros.viewer import web
from ace_slam_ros.viewer.errors import ViewError
from ace_slam_ros.viewer.target import WEB, check_target

#: Stands for rerun's program: answers on the two ports that it is told, or says why it cannot.
PROGRAM = """#!{python}
import socket, sys, time
if {fails}:
    sys.exit("Error: no, not today")
given = dict(zip(sys.argv, sys.argv[1:]))
held = []
for name in ("--port", "--web-viewer-port"):
    held.append(socket.create_server((given["--bind"], int(given[name]))))
time.sleep(60)
"""


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Make a stand-in for rerun's program; return what makes it."""
    def make(fails=False):
        path = tmp_path / "rerun"
        path.write_text(PROGRAM.format(python=sys.executable, fails=fails))
        path.chmod(0o755)
        monkeypatch.setattr(web, "_program", lambda: path)
    return make


def test_other_targets_go_where_they_went():
    told = []
    for target in (None, "", "run.rrd"):
        with web.page_for(target, told.append) as view:
            assert view == target
    assert not told


def test_the_page_is_told_and_ends_with_what_it_showed(program, monkeypatch):
    program()
    told = []
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(
        isatty=lambda: True, readline=lambda: told.append("Enter")))
    with web.page_for(WEB, told.append, stays=True) as view:
        assert re.fullmatch(r"rerun\+http://127\.0\.0\.1:[0-9]+/proxy", view)
        port = int(re.search(r"http://127\.0\.0\.1:([0-9]+)\?url=rerun%2Bhttp", told[0])[1])
        assert web._answers(port)
    assert told[1:] == ["the page stays until Enter is pressed", "Enter"]
    assert not web._answers(port)


def test_it_ends_when_its_owner_is_killed(program, tmp_path):
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    program()
    code = (f"from pathlib import Path\nimport os, signal\nfrom ace_slam_ros.viewer import web\n"
            f"web._program = lambda: Path({str(tmp_path / 'rerun')!r})\n"
            "print(web.WebServer()._process.pid, flush=True)\nos.kill(os.getpid(), 9)")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False)
    stat = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(200):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        web.time.sleep(0.02)
    raise AssertionError("the server goes on")


def test_a_server_that_does_not_start_says_why(program):
    program(fails=True)
    with pytest.raises(ViewError, match="does not start: Error: no, not today"):
        web.WebServer()


def test_a_port_that_is_taken_is_left_to_its_owner():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert web.free_port(port) != port
    assert web.free_port(port) == port


def test_reruns_own_server_listens_on_this_machine_alone():
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (optional)")
    check_target(WEB)
    server = web.WebServer()
    try:
        with urllib.request.urlopen(server.url, timeout=10) as page:
            assert b"Rerun" in page.read()
        table = Path("/proc/net/tcp").read_text()
        for text in (server.url, server.address):
            port = int(re.search(r"127\.0\.0\.1:([0-9]+)", text)[1])
            assert f"0100007F:{port:04X} 00000000:0000 0A" in table
            assert f" 00000000:{port:04X} 00000000:0000 0A" not in table
    finally:
        server.close()
