"""Programs that tests start end with the tests, however those ended."""

import contextlib
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.live import ROOT

# Processes alone, the same on both set-ups.
pytestmark = pytest.mark.embedded_only

_STARTS_A_PROGRAM = """
import os, sys, time
from pathlib import Path
from tests.forked import Forked

if __name__ == "__main__":
    program = Forked([sys.argv[1]], environ=dict(os.environ), root=Path.cwd(), output=Path(sys.argv[2]))
    print(program.pid, flush=True)
    time.sleep(600)
"""


def test_program_ends_although_what_started_it_was_killed(tmp_path: Path) -> None:
    sleeper, starter = tmp_path / "sleeper.py", tmp_path / "starter.py"
    sleeper.write_text("import time\nprint('runs', flush=True)\ntime.sleep(600)\n")
    starter.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{_STARTS_A_PROGRAM}")
    command = [sys.executable, str(starter), str(sleeper), str(tmp_path / "output")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        program = psutil.Process(int(running.stdout.readline()))
        running.kill()
    try:
        for _attempt in range(1000):
            if _has_ended(program):
                return
            with contextlib.suppress(psutil.TimeoutExpired):
                program.wait(0.02)
        pytest.fail("it still runs")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            program.kill()


def _has_ended(program: psutil.Process) -> bool:
    try:
        # Where nobody takes its status it stays in the table of processes.
        return bool(program.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
