"""Starts Python programs of the project by forking a process that has imported their libraries already.

A server imports for longer than most tests run. One process for each test worker (the fork server of
multiprocessing) imports what needs no settings; each program is a fork of it with its own environment, session and
output. A second one has set up the project too, for programs whose environment is the usual one or differs in what is
read late (`tests.ready`).
"""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any
from unittest import mock

from tests.servers import die_with_parent

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["tests.preloaded"])
_ready = forkserver.ForkServer()
_ready.set_forkserver_preload(["tests.preloaded", "tests.ready"])


class Forked:
    """A started program, with what `subprocess.Popen` offers for one that reads and writes files only."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        root: Path,
        output: Path,
        usual: Mapping[str, str] | None = None,
    ) -> None:
        """`command` is a script or `-m` and a module, and its arguments; `output` is appended to.

        `usual`: begin with the project set up as this environment says, and read the settings again where `environ`
        differs. The first one of a worker counts for all.
        """
        target = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        arguments = (list(command), dict(environ), str(root), _Descriptor(target), usual is not None)
        # A daemon of multiprocessing is ended with the tests, instead of waited for.
        self._process = _forking.Process(target=_run_program, args=arguments, daemon=True)
        with _served_ready(usual) if usual is not None else contextlib.nullcontext():
            self._process.start()
        os.close(target)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status, negative for a signal. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def _served_ready(environ: Mapping[str, str]) -> Iterator[None]:
    """Let the second fork server make the process; multiprocessing knows of one only."""
    with (
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.object(forkserver, "connect_to_new_process", _ready.connect_to_new_process),
    ):
        yield


class _Descriptor:
    """An open file that is handed to the fork."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> Any:
        return DupFd(self.number)

    def __setstate__(self, state: Any) -> None:
        self.number = state.detach()


def _run_program(command: list[str], environ: dict[str, str], root: str, output: _Descriptor, is_ready: bool) -> None:
    """Become the program: what `exec` would set anew is set here."""
    os.setsid()
    # A job in the background of a shell has them ignored, and an ignored signal ends nobody.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    # The fork server ends with whom it serves, however that ended, once its children do not hold it open.
    die_with_parent()
    serving: Any = forkserver._forkserver
    os.close(serving._forkserver_alive_fd)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environ)
    _redirect(output.number)
    sys.path[0] = root
    # Its own atexit functions are for the fork server, which would run them when it ends.
    atexit._clear()
    try:
        if is_ready:
            # Imported already, by the process that this is a fork of.
            from tests import ready  # noqa: PLC0415

            ready.set_up_for(environ)
        if command[0] == "-m":
            sys.argv = command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command
            runpy.run_path(command[0], run_name="__main__")
    finally:
        # A forked process leaves by os._exit.
        atexit._run_exitfuncs()


def _redirect(target: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, source in ((0, nothing), (1, target), (2, target)):
        os.dup2(source, descriptor)
    for descriptor in (target, nothing):
        os.close(descriptor)
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdin.close()
    # Each line at once: a test reads them, and a killed program writes no more.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - they live as long as the process
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
