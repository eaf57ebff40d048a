"""The live view as a page: rerun's viewer and its data, served to this machine alone.

rerun's own way from Python listens on every address of the machine, so that anybody in the network
sees the camera; its program can be told which one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from .errors import ViewError
from .target import WEB

_HOST = "127.0.0.1"
#: Ports that are taken when they are free, as rerun does: of the page, and of the data.
_PAGE_PORT, _DATA_PORT = 9090, 9876
#: A start takes a second, on a busy machine a few.
_START_S = 30.0


@contextlib.contextmanager
def page_for(
    view: str | None, tell: Callable[[str], None], stays: bool = False
) -> Iterator[str | None]:
    """Serve the page while something is shown, if that is asked for.

    Args:
        view: a target of `--view`, WEB for the page, None for nothing.
        tell: is told the page's address.
        stays: at the end the page waits for Enter, if somebody sits there.

    Yields:
        The target that the view is opened with: other than WEB it is that which was given.
    """
    if view != WEB:
        yield view
        return
    server = WebServer()
    try:
        tell(f"shown at {server.url}")
        yield server.address
        if stays and sys.stdin.isatty():
            tell("the page stays until Enter is pressed")
            sys.stdin.readline()
    finally:
        server.close()


class WebServer:
    """Serves the viewer's page until `close`, or until this process is gone.

    Attributes:
        address: where recordings are sent, for `connect_grpc`.
        url: of the page.

    Raises:
        ViewError: rerun's program is missing or does not start.
    """

    def __init__(self) -> None:
        page, data = free_port(_PAGE_PORT), free_port(_DATA_PORT)
        self.address = f"rerun+http://{_HOST}:{data}/proxy"
        self.url = f"http://{_HOST}:{page}?url={quote(self.address, safe='')}"
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [*_ends_with_us(), str(_program()), "--serve-web", "--bind", _HOST,
             "--port", str(data), "--web-viewer-port", str(page), "--hide-welcome-screen"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
            start_new_session=True)  # Ctrl-C is for us: what was drawn last is to be seen
        self._await(page, data)

    def _await(self, *ports: int) -> None:
        """Return when all ports answer."""
        end_s = time.monotonic() + _START_S
        while not all(_answers(port) for port in ports):
            if self._process.poll() is not None or time.monotonic() > end_s:
                self._log.seek(0)
                last = (self._log.read().strip().splitlines() or ["it says nothing"])[-1]
                self.close()
                raise ViewError(f"--web: rerun's server does not start: {last}")
            time.sleep(0.05)

    def close(self) -> None:
        """Stop serving; a page that is open keeps what it has."""
        self._process.terminate()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def free_port(wanted: int) -> int:
    """Return a port of this machine's own address that nobody uses: `wanted`, if it is free."""
    for port in (wanted, 0):
        with socket.socket() as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind((_HOST, port))
            except OSError:
                continue
            return int(found.getsockname()[1])
    raise ViewError(f"--web: no port of {_HOST} is free")


def _answers(port: int) -> bool:
    try:
        socket.create_connection((_HOST, port), 0.5).close()
    except OSError:
        return False
    return True


def _program() -> Path:
    """Return rerun's program, which its Python package brings."""
    spec = importlib.util.find_spec("rerun_cli")
    program = Path(spec.origin).parent / "rerun" if spec is not None and spec.origin else Path()
    if not program.is_file():
        raise ViewError("--web: the installed rerun has no program: pip install --force-reinstall "
                        "rerun-sdk")
    return program


def _ends_with_us() -> list[str]:
    """Return what has a program end when this process does, however that ends."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
