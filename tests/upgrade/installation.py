"""What the last release left behind: its code, its database, who is in there; and servers of both releases on it."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from django.conf import settings

from tests import servers
from tests.live import ROOT, LiveServer
from tests.upgrade import release

# A Python with the packages of the last release, where they cannot be those of this one.
OLD_PYTHON = os.environ.get("STEPPER_OLD_PYTHON", sys.executable)
# As in real use, where cookies are for HTTPS: the proxy's word for it.
HTTPS = {"X-Forwarded-Proto": "https"}
# Rows of the outbox that no client gets.
CONTROL = "control.recheck"


class Row(NamedTuple):
    """A row of the outbox."""

    id: int
    event_id: str
    group: str
    type: str


class Installation:
    """One database of the last release. `people`: what `seed.py` printed."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.tree = tree
        self.folder = folder
        self.environ = {"DATA_DIR": str(folder), "HTTPS": "1", "DATABASE_URL": "", "REDIS_URL": settings.REDIS_URL}
        self._name = f"stepper_upgrade_{os.getpid()}"
        if settings.DATABASE_URL:
            self.environ["DATABASE_URL"] = f"{os.environ[servers.POSTGRESQL]}/{self._name}"
            self._administer(f'CREATE DATABASE "{self._name}"')
        shutil.copy(Path(__file__).with_name("seed.py"), tree)
        self.people: dict[str, Any] = json.loads(self._run(OLD_PYTHON, tree, "seed.py"))

    def old_server(self) -> LiveServer:
        server = LiveServer(self.folder / "old.log", self.environ)
        server.python, server.root = OLD_PYTHON, self.tree
        return server

    def new_server(self) -> LiveServer:
        return LiveServer(self.folder / "new.log", self.environ)

    async def upgrade(self) -> None:
        """Do what docs/operations.md says to do before the servers of a new release start."""
        await asyncio.to_thread(self._run, sys.executable, ROOT, "manage.py", "prepare")

    def outbox(self) -> list[Row]:
        """Read the outbox as it is now, without the models of either release."""
        query = f"""SELECT id, event_id, "group", type FROM realtime_event WHERE type <> '{CONTROL}' ORDER BY id"""
        return [Row(*row) for row in self.read(query)]

    def read(self, query: str) -> list[tuple[Any, ...]]:
        if self.environ["DATABASE_URL"]:
            with psycopg.connect(self.environ["DATABASE_URL"]) as postgresql:
                return postgresql.execute(query.encode()).fetchall()
        with sqlite3.connect(self.folder / "stepper.sqlite3") as sqlite:
            return sqlite.execute(query).fetchall()

    def remove(self) -> None:
        if settings.DATABASE_URL:
            self._administer(f'DROP DATABASE "{self._name}" WITH (FORCE)')

    def _administer(self, statement: str) -> None:
        with psycopg.connect(f"{os.environ[servers.POSTGRESQL]}/postgres", autocommit=True) as admin:
            admin.execute(statement.encode())

    def _run(self, python: str, folder: Path, *arguments: str) -> str:
        """Run a program of either release to its end; return what it prints."""
        done = subprocess.run(
            [python, *arguments],
            cwd=folder,
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            others = ", ".join(release.list_other_versions(folder))
            note = f"It requires other packages than are installed: {others}. See CONTRIBUTING.md.\n" if others else ""
            pytest.fail(f"{' '.join(arguments)} of {folder} failed.\n{note}{done.stderr}")
        return done.stdout


def unpack_release(folder: Path) -> None:
    """Write the last release into a folder.

    Where its commit is not in git, as in a tarball or a shallow clone, the test is skipped; in CI it fails, or nobody
    would notice that upgrades are not tested any more.
    """
    commit = release.read_release().commit
    try:
        release.unpack(commit, folder)
    except release.NotInGit as reason:
        text = f"the last release, {commit[:12]}, cannot be read from git, which needs a full clone: {reason}"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
