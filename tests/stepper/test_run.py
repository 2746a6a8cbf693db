"""`manage.py run`, which is `make run`: one command to start the demo, Ctrl-C to end all of it."""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from socket import socket

import psutil
import pytest

from tests.live import ROOT
from tests.servers import free_port

pytestmark = pytest.mark.embedded_only

STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 10


class Demo:
    """`manage.py run` in a process group of its own, read up to the line that says it is there."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run", "--port", str(self.port), "--drivers", "2", *arguments],
            cwd=ROOT,
            env=os.environ | {"DATA_DIR": str(data_dir), "DEBUG": "1", "PUBLIC_URL": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self.family: list[psutil.Process] = []

    def read_until(self, words: str) -> None:
        """Reads on; fails the test where the command ends, or a minute passes, without them."""
        assert self.process.stdout is not None
        give_up = threading.Timer(STARTS_WITHIN_S, self.process.kill)
        give_up.start()
        for line in self.process.stdout:
            self.output += line
            if words in line:
                break
        give_up.cancel()
        assert words in self.output, self.output
        parent = psutil.Process(self.process.pid)
        self.family = [parent, *parent.children(recursive=True)]

    def read_rest(self) -> None:
        """The rest of what it says, up to its end."""
        rest, _none = self.process.communicate(timeout=ENDS_WITHIN_S)
        self.output += rest

    def left(self) -> list[psutil.Process]:
        """Who still runs a moment later."""
        _gone, alive = psutil.wait_procs(self.family, timeout=ENDS_WITHIN_S)
        return list(alive)

    def end_all(self) -> None:
        for process in [*self.family, psutil.Process(self.process.pid)] if self.process.poll() is None else self.family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty for the first demo; the next one finds the database, as on a second start."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
def run_demo(data_dir: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def run(*arguments: str) -> Demo:
        started.append(Demo(data_dir, *arguments))
        return started[-1]

    yield run
    for demo in started:
        demo.end_all()


def test_run_serves_and_ends_on_ctrl_c(run_demo: Callable[..., Demo]) -> None:
    demo = run_demo()
    demo.read_until("Ctrl-C ends everything")
    assert f"http://127.0.0.1:{demo.port}/" in demo.output
    assert "passenger1@demo.test" in demo.output
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.port}/") as response:
        assert response.status == 200
    assert len(demo.family) == 3  # itself, the server, the city
    # Else the SMS to travellers are not sent: they have a link.
    links = {process.environ().get("PUBLIC_URL", "") for process in demo.family}
    assert f"http://127.0.0.1:{demo.port}" in links

    os.killpg(demo.process.pid, signal.SIGINT)
    demo.read_rest()

    assert demo.process.returncode == 0
    assert "Traceback" not in demo.output
    assert demo.left() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a killed process")
def test_run_leaves_nothing_behind_when_killed(run_demo: Callable[..., Demo]) -> None:
    demo = run_demo()
    demo.read_until("Ctrl-C ends everything")
    demo.process.kill()
    assert demo.left() == []


def test_run_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [sys.executable, "manage.py", "run", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"DATA_DIR": str(tmp_path), "DEBUG": "1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=STARTS_WITHIN_S,
        )
    assert answer.returncode == 1
    assert f"Port {port}" in answer.stderr
    assert "PORT=8001" in answer.stderr
