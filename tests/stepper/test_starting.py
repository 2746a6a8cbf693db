"""Commands that cannot start end with one line that says why; what cannot be used is found before anything starts."""

import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import OperationalError, ProgrammingError, connection
from django.db.migrations.recorder import MigrationRecorder

from stepper.management import starting
from stepper.management.failures import describe_failure
from stepper.server import readiness
from stepper.server.single_process import claim_data_directory
from tests.live import ROOT
from tests.servers import free_port

ENDS_WITHIN_S = 60
STARTING = ["serve", "prepare", "dispatcher", "run"]


def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    clean = {"DATABASE_URL": "", "REDIS_URL": "", "DEBUG": "0", "SECRET_KEY": "of a test, long enough for a signature"}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | clean | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The status, the last line, and all that it said."""
    said, _none = process.communicate(timeout=ENDS_WITHIN_S)
    return process.returncode, said.strip().splitlines()[-1], said


@pytest.mark.embedded_only
def test_processes_that_cannot_start_end_with_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    nobody = free_port()
    data = str(tmp_path / "data")
    expected = {
        start("serve", DATABASE_URL="mysql://me:secret@h/n"): "DATABASE_URL must begin with postgresql://",
        start(
            "prepare", DATABASE_URL="postgresql://me:se%cr%et@h:x/n"
        ): "DATABASE_URL is not an address like postgresql:",
        start("dispatcher", REDIS_URL="http://localhost"): "REDIS_URL must begin with redis://",
        start("serve", DATA_DIR=str(blocked / "data")): f"DATA_DIR {blocked}/data cannot be made: Not a directory.",
        # A command of Django's own.
        start("createsuperuser", "--noinput", "--email", "a@b.kz", DATA_DIR=data): f"{data}/stepper.sqlite3 lacks",
        start("serve", DATABASE_URL=f"postgresql://me:secret@127.0.0.1:{nobody}/n"): (
            f"CommandError: The database me@127.0.0.1:{nobody}/n (DATABASE_URL) cannot be used: Connection refused."
        ),
    }
    for process, words in expected.items():
        status, last_line, said = end_of(process)
        assert status == 1, said
        assert words in last_line
        assert "Traceback" not in said
        assert "secret@" not in said


@pytest.mark.parametrize("command", STARTING)
@pytest.mark.django_db
def test_redis_away_ends_commands_that_start_something(settings: Any, command: str) -> None:
    settings.REDIS_URL = f"redis://:secret@127.0.0.1:{free_port()}/0"
    with pytest.raises(
        CommandError, match=r"Redis at 127\.0\.0\.1:\d+/0 \(REDIS_URL\) cannot be used: .*refused\."
    ) as told:
        call_command(command, verbosity=0)
    assert "secret" not in str(told.value)


@pytest.mark.scaled_only
@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("NAME", "stepper_nowhere", 'database "stepper_nowhere" does not exist.'),
        ("USER", "stepper_nobody", 'role "stepper_nobody" does not exist.'),
        ("HOST", "nowhere.invalid", "nowhere.invalid"),
        ("PORT", "1", "Connection refused."),
    ],
)
@pytest.mark.parametrize("command", STARTING)
@pytest.mark.django_db
def test_database_away_ends_commands_that_start_something(monkeypatch: Any, command, what, value, words) -> None:
    monkeypatch.setitem(connection.settings_dict, what, value)
    with pytest.raises(CommandError, match=r"^The database .* \(DATABASE_URL\) cannot be used: ") as told:
        call_command(command, verbosity=0)
    assert str(told.value).endswith(words) or words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("command", ["serve", "dispatcher"])
@pytest.mark.django_db
def test_unmigrated_database_ends_servers_with_what_to_run(command: str) -> None:
    MigrationRecorder(connection).record_unapplied("stepper", "0001_initial")
    with pytest.raises(
        CommandError, match=r"lacks 1 migrations of this release, stepper\.0001_initial the first"
    ) as told:
        call_command(command, verbosity=0)
    # With what this process was given: the line is copied into a shell that has not got it.
    assert f"Run: DATA_DIR={readiness.settings.DATA_DIR} " in str(told.value)
    assert str(told.value).endswith("/python manage.py prepare")


def test_missing_static_files_are_warned_of(settings: Any, tmp_path: Path) -> None:
    """As after a restore into an empty installation: every page would be answered with 500."""
    said = io.StringIO()
    starting.warn_of_missing_static_files(OutputWrapper(said))
    assert said.getvalue() == ""
    storage = "stepper.web.static_files.StaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": storage}}
    settings.STATIC_ROOT = tmp_path
    starting.warn_of_missing_static_files(OutputWrapper(said))
    assert re.fullmatch(r"Warning: static files are not collected, .* Run: .* prepare\n", said.getvalue())


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    "options", [{"server": "daphne"}, {"server": "uvicorn"}, {"host": "nowhere.invalid", "port": 80}]
)
@pytest.mark.django_db
def test_taken_port_and_unknown_host_end_the_server(taken_port: int, options: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match=r"^Port \d+ of .* cannot be used \(.+\)\. Try PORT=8001 or --port 8001\.$"):
        call_command("serve", verbosity=0, **{"port": taken_port, **options})


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
@pytest.mark.embedded_only
@pytest.mark.django_db
def test_second_server_on_the_same_data_says_so(server: str) -> None:
    lock = claim_data_directory()
    assert lock is not None
    with lock, pytest.raises(CommandError, match="A server already runs on"):
        call_command("serve", verbosity=0, port=free_port(), server=server)


@pytest.mark.parametrize(("user", "warned"), [(0, True), (1000, False)])
@pytest.mark.embedded_only
def test_root_is_warned(monkeypatch: Any, capsys: Any, user: int, warned: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    starting.warn_of_root(OutputWrapper(sys.stderr))
    said = capsys.readouterr().err
    assert ("as root" in said) is warned
    assert said.count("\n") == warned


@pytest.mark.django_db
def test_failure_is_described_only_where_the_environment_causes_it(settings: Any, tmp_path: Path) -> None:
    """What would be a fault of the code keeps its traceback."""
    assert describe_failure(ProgrammingError("syntax error")) is None
    assert describe_failure(ValueError("no")) is None
    assert describe_failure(FileNotFoundError(2, "No such file", "/elsewhere")) is None
    assert describe_failure(OperationalError("database\nis locked")) == "database is locked"
    in_data = str(settings.DATA_DIR / "static" / "a.css")
    assert (
        describe_failure(PermissionError(13, "Permission denied", in_data))
        == f"{in_data} cannot be used: Permission denied."
    )
