"""`manage.py backup`: what it holds and what not, who may read it, and that nothing but a good one looks like one."""

import fcntl
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.sessions.models import Session
from django.db import connection

from stepper.api.tokens import sign_in
from stepper.backups import folders
from stepper.backups.errors import EXIT_STATUS, BackupError
from stepper.backups.running import this_database
from stepper.models import User
from tests.backups import back_up, refusal
from tests.factories import PassengerFactory
from tests.live import ROOT
from tests.papers import document

# The backup reads a database that is there: pytest-django makes none for tests that do not ask for it.
pytestmark = pytest.mark.django_db

KILLED_BEFORE_IT_IS_NAMED = """
import os, pathlib, signal, sys
pathlib.Path.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = ["manage.py", "backup", "--to", sys.argv[1]]
import manage
manage.main()
"""


def file_of(backup: Path) -> Path:
    return backup / folders.FILES[folders.read_manifest(backup).database]


def edit_manifest(backup: Path, **changes: Any) -> None:
    path = backup / folders.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """What a disk that is full does: a file cannot grow beyond some size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.django_db(transaction=True)
def test_backup_is_its_owners_alone_and_holds_no_session(tmp_path: Path, suite: str) -> None:
    user = PassengerFactory(name="Aigerim in the backup")
    document(user, content=b"a picture in the backup")
    sign_in(user)

    backup = back_up(tmp_path / "backups")

    manifest = folders.read_manifest(backup)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (backup.parent, backup, *backup.iterdir())}
    assert modes == {"backups": 0o700, backup.name: 0o700, file_of(backup).name: 0o600, "manifest.json": 0o600}
    assert (manifest.database == "sqlite") == (suite == "embedded")
    assert str(connection.settings_dict["NAME"]) in manifest.source
    assert manifest.rows["stepper_user"] == User.objects.count() == 1
    assert "django_session" not in manifest.rows
    session_key = Session.objects.get().session_key
    text = unpacked(file_of(backup))
    assert b"Aigerim in the backup" in text
    assert (b"a picture in the backup" if suite == "embedded" else b"a picture in the backup".hex().encode()) in text
    assert session_key.encode() not in text


def unpacked(file: Path) -> bytes:
    """All that somebody who has the file can read of it."""
    if file.suffix == ".sqlite3":
        return file.read_bytes()
    return subprocess.run(["pg_restore", "--file=-", file], check=True, capture_output=True).stdout


@pytest.mark.embedded_only
def test_killed_backup_looks_like_none_and_the_next_removes_it(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_IT_IS_NAMED, tmp_path], cwd=ROOT, check=False)

    assert killed.returncode == -9
    (left,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    # Complete though it is, nobody can say so: it was not flushed to the disk under its name.
    assert {path.name for path in left.iterdir()} == {"database.sqlite3", "manifest.json"}
    assert not list(tmp_path.glob("stepper-*"))
    made = back_up(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [made]


def test_full_disk_leaves_nothing_and_deletes_nothing(tmp_path: Path) -> None:
    good = back_up(tmp_path)

    with files_limited_to(20_000):
        failed = refusal("backup", to=tmp_path, keep=1)

    assert failed == ("backup.failed", 3)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [good]


@pytest.mark.embedded_only
def test_second_backup_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert refusal("backup", to=tmp_path) == ("backup.already_running", 4)


@pytest.mark.embedded_only
def test_rotation_deletes_the_oldest_of_this_database_only(tmp_path: Path) -> None:
    foreign = back_up(tmp_path)
    edit_manifest(foreign, source="somebody else's")
    (tmp_path / "stepper-notes").mkdir()
    oldest, older = back_up(tmp_path), back_up(tmp_path)

    newest = back_up(tmp_path, keep=2)

    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {
        foreign,
        older,
        newest,
        tmp_path / "stepper-notes",
    }
    assert not oldest.exists()


@pytest.mark.embedded_only
def test_keep_0_deletes_nothing(tmp_path: Path) -> None:
    first = back_up(tmp_path, keep=0)
    second = back_up(tmp_path, keep=0)

    assert {first, second} <= set(tmp_path.iterdir())


def test_copy_that_was_cut_off_is_damaged(tmp_path: Path) -> None:
    backup = back_up(tmp_path)
    manifest = folders.read_manifest(backup)
    os.truncate(file_of(backup), manifest.size // 2)

    with pytest.raises(BackupError) as raised:
        this_database().check(file_of(backup), manifest)

    assert raised.value.code == "backup.damaged"


def test_copy_without_a_row_of_its_manifest_is_damaged(tmp_path: Path) -> None:
    backup = back_up(tmp_path)
    manifest = folders.read_manifest(backup)
    more = msgspec.structs.replace(manifest, rows=manifest.rows | {"auth_permission": 1_000})

    with pytest.raises(BackupError) as raised:
        this_database().check(file_of(backup), more)

    assert raised.value.code == "backup.damaged"


@pytest.mark.embedded_only
def test_every_exit_status_is_documented() -> None:
    rows = re.findall(
        r"^\| (\d+) \| `((?:backup|restore)\.\w+)` \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE
    )

    assert {code: int(status) for status, code in rows} == EXIT_STATUS


# PostgreSQL's programs


@pytest.fixture
def pg_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pg_dump of ours, the first in PATH; without its text there is none."""
    program = tmp_path / "bin" / "pg_dump"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.scaled_only
def test_missing_pg_dump_says_what_to_install(tmp_path: Path, pg_dump: Path) -> None:
    write_program(pg_dump.with_name("pg_restore"), 'echo "pg_restore (PostgreSQL) 99.1"')

    assert refusal("backup", to=tmp_path / "backups") == ("backup.tool_missing", 5)


@pytest.mark.scaled_only
def test_pg_dump_older_than_the_server_says_what_to_install(tmp_path: Path, pg_dump: Path) -> None:
    write_program(pg_dump, 'echo "pg_dump (PostgreSQL) 9.6"')
    write_program(pg_dump.with_name("pg_restore"), 'echo "pg_restore (PostgreSQL) 99.1"')

    assert refusal("backup", to=tmp_path / "backups") == ("backup.tool_missing", 5)


@pytest.mark.scaled_only
def test_password_is_in_the_environment_and_not_on_the_command_line(
    tmp_path: Path, pg_dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = tmp_path / "heard"
    said = f'echo "$0 (PostgreSQL) 99.1"; [ "$1" = --version ] || {{ echo "$PGPASSWORD|$*" > {heard}; exit 1; }}'
    write_program(pg_dump, said)
    write_program(pg_dump.with_name("pg_restore"), said)
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "whispered")

    assert refusal("backup", to=tmp_path / "backups") == ("backup.failed", 3)

    environment, _bar, command_line = heard.read_text().partition("|")
    assert environment == "whispered"
    assert "--snapshot=" in command_line
    assert "whispered" not in command_line
