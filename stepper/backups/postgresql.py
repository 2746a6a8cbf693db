"""Backup and restore on PostgreSQL: `pg_dump` of a snapshot; a restored database takes the name of the old one."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from django.db import connection
from django.utils import timezone
from psycopg import sql

from stepper.models import User

from . import client_tools
from .contents import LEFT_OUT, MIGRATIONS_TABLE, Contents
from .database import Database
from .errors import BackupError

# Where databases are made and renamed: nobody is connected to the one that it is about.
_MAINTENANCE = "postgres"
_MAX_NAME = 63
# How long a connection may still be listed that a stopped server has closed; PostgreSQL's own renaming waits likewise.
_CLOSING_S = 2.0
# The head of a table's rows in a script of pg_restore, with its schema and its name; a line `\.` ends them.
_COPY = re.compile(rb'COPY ((?:"[^"]*")+|[^\s".]+)\.((?:"[^"]*")+|[^\s".]+) (?:\(.*\))? FROM stdin;\n')
_END_OF_COPY = b"\\.\n"


# Schema and name of the tables that hold rows, without those of extensions: pg_dump leaves them to CREATE EXTENSION.
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""
# The service's schema: where its tables are found, or would be made.
_SCHEMA = """
    SELECT coalesce(
        (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)),
        current_schema()
    )
"""


class PostgresqlDatabase(Database):
    kind = "postgresql"

    def __init__(self) -> None:
        configured = connection.settings_dict
        self.name: str = configured["NAME"]
        self.source = f"{configured['HOST'] or 'local'}:{configured['PORT'] or 5432}/{self.name}"
        self._maintenance: psycopg.Connection[Any] | None = None

    def dump(self, file: Path) -> Contents:
        """Dump one snapshot with pg_dump and count its rows meanwhile, then read the whole dump and compare."""
        with self._connected(self.name, "backup.failed") as live, contextlib.ExitStack() as dumping:
            client_tools.require_tool("pg_dump", live.info.server_version)
            client_tools.require_tool("pg_restore", live.info.server_version)
            # Limits of the role are meant for requests.
            live.execute("SET statement_timeout = 0")
            live.execute("SET idle_in_transaction_session_timeout = 0")
            try:
                with live.transaction():
                    live.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    snapshot = _one(live, "SELECT pg_export_snapshot()")
                    schema = _schema(live).replace('"', '""')
                    left_out = [f'--exclude-table-data="{schema}".{table}' for table in LEFT_OUT]
                    dumping.enter_context(
                        client_tools.running(
                            "pg_dump",
                            *("--format=custom", f"--snapshot={snapshot}", *left_out, f"--file={file}"),
                            f"--dbname={client_tools.destination(self.name)}",
                        )
                    )
                    contents = _read_contents(live)
                    # The snapshot must live until pg_dump has taken it.
                    dumping.close()
            except subprocess.CalledProcessError as error:
                message = f"pg_dump failed: {client_tools.last_line(error)}"
                raise BackupError("backup.failed", message) from error
        self.check(file, contents)
        return contents

    def check(self, file: Path, contents: Contents) -> None:
        """Have pg_restore unpack all of the dump, and count the rows of each table.

        The dump holds all of the database, also other schemas and rows that people added to an extension's table; the
        manifest lists the service's tables only.
        """
        found: dict[bytes, dict[str, int]] = {}
        try:
            with client_tools.running("pg_restore", "--file=-", str(file)) as script:
                for line in script:
                    if head := _COPY.fullmatch(line):
                        rows = sum(1 for _row in iter(script.readline, _END_OF_COPY))
                        found.setdefault(head[1], {})[head[2].decode()] = rows
        except subprocess.CalledProcessError as error:
            message = f"{file} cannot be read by pg_restore: {client_tools.last_line(error)}"
            raise BackupError("backup.damaged", message) from error
        if not any(contents.rows.items() <= tables.items() for tables in found.values()):
            raise BackupError("backup.damaged", f"{file} does not hold the rows that its manifest lists.")

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        with self._connected(_MAINTENANCE, "restore.failed") as maintenance:
            # Of this connection, so it ends with this process, wherever that runs.
            key = f"stepper restore {self.name}"
            if not _one(maintenance, "SELECT pg_try_advisory_lock(hashtext(%s))", key):
                raise BackupError("restore.in_use", "Another restore is running.")
            self._maintenance = maintenance
            self._require_nobody_connected()
            try:
                yield
            finally:
                self._maintenance = None

    def is_empty(self) -> bool:
        if not self._exists(self.name):
            return True
        with self._connected(self.name, "restore.failed") as present:
            tables, accounts = present.execute(_TABLES).fetchall(), (_schema(present), User._meta.db_table)
            if any(schema != accounts[0] for schema, _table in tables):
                return False  # somebody else's, which a restore would replace as well
            return not tables or (accounts in tables and not _count(present, *accounts))

    @contextlib.contextmanager
    def stage(self, file: Path, contents: Contents) -> Iterator[str]:
        server = self._server
        client_tools.require_tool("pg_restore", server.info.server_version)
        staged = f"{self.name[: _MAX_NAME - 20]}_restoring"
        try:
            self._drop(staged)  # of a restore that was killed
            server.execute(self._create(staged))
            with client_tools.running(
                "pg_restore",
                *("--no-owner", "--no-privileges", "--exit-on-error"),
                *(f"--dbname={client_tools.destination(staged)}", str(file)),
            ):
                pass
            with self._connected(staged, "restore.failed") as restored:
                found = _read_contents(restored)
                restored.execute("ANALYZE")
            if (sorted(found.migrations), found.rows) != (sorted(contents.migrations), contents.rows):
                raise BackupError("backup.damaged", f"{file} does not hold the rows that its manifest lists.")
            yield staged
        except psycopg.errors.InsufficientPrivilege as error:
            raise BackupError(
                "restore.failed",
                "The database's user may not create databases, and a restore makes a new one beside the old: "
                "ALTER ROLE … CREATEDB, or restore as another user.",
            ) from error
        except subprocess.CalledProcessError as error:
            raise BackupError("restore.failed", f"pg_restore failed: {client_tools.last_line(error)}") from error
        except psycopg.Error as error:
            raise BackupError("restore.failed", f"PostgreSQL refused: {_said(error)}") from error
        finally:
            with contextlib.suppress(psycopg.Error):
                self._drop(staged)

    def swap(self, staged: str, *, keep: bool) -> str | None:
        """Rename both databases in one transaction. PostgreSQL refuses it while anybody is connected to one of them."""
        server, before = self._server, None
        try:
            with server.transaction():
                if self._exists(self.name):
                    before = f"{self.name[: _MAX_NAME - 24]}_before_{timezone.now():%Y%m%dt%H%M%S}"
                    server.execute(_rename(self.name, before))
                server.execute(_rename(staged, self.name))
        except psycopg.errors.ObjectInUse as error:
            self._require_nobody_connected()
            raise BackupError(
                "restore.in_use", f"Somebody connected to {self.name} meanwhile: {_said(error)}"
            ) from error
        except psycopg.Error as error:
            raise BackupError("restore.failed", f"PostgreSQL refused: {_said(error)}") from error
        if before is not None and not keep:
            self._drop(before)
            return None
        return before

    @property
    def _server(self) -> psycopg.Connection[Any]:
        if self._maintenance is None:
            raise RuntimeError("only inside of `reserved`")
        return self._maintenance

    def _require_nobody_connected(self) -> None:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type IS DISTINCT FROM %s"
        until = monotonic() + _CLOSING_S
        while connected := _one(self._server, others, self.name, "autovacuum worker"):
            if monotonic() < until:
                sleep(0.05)
                continue
            raise BackupError(
                "restore.in_use",
                f"{self.name} has {connected} connections: stop servers, dispatchers and shells, on every machine.",
            )

    def _exists(self, name: str) -> bool:
        return bool(_one(self._server, "SELECT count(*) FROM pg_database WHERE datname = %s", name))

    def _create(self, name: str) -> sql.Composed:
        """Return the statement that makes an empty database, sorted and compared like the present one."""
        row = self._server.execute(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype, to_jsonb(d) ->> 'datlocprovider' "
            "FROM pg_database d WHERE datname = %s",
            [self.name],
        ).fetchone()
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
        if row is None or row[3] not in {None, "c"}:
            return create
        return create + sql.SQL(" ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(*map(sql.Literal, row[:3]))

    def _drop(self, name: str) -> None:
        self._server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def _connected(self, name: str, code: str) -> Iterator[psycopg.Connection[Any]]:
        try:
            connected = client_tools.connect(name)
        except psycopg.OperationalError as error:
            raise BackupError(code, f"PostgreSQL cannot be reached: {_said(error)}") from error
        with contextlib.closing(connected):
            yield connected


def _read_contents(connected: psycopg.Connection[Any]) -> Contents:
    schema = _schema(connected)
    tables = sorted(table for of_schema, table in connected.execute(_TABLES) if of_schema == schema)
    if MIGRATIONS_TABLE not in tables:
        raise BackupError("backup.failed", "This is not a database of StepperGO: no migration is in it.")
    applied = connected.execute(f"SELECT app || '.' || name FROM {MIGRATIONS_TABLE}")  # noqa: S608 - a constant
    return Contents(
        database_version=str(connected.info.parameter_status("server_version")),
        migrations=sorted(row[0] for row in applied),
        rows={table: _count(connected, schema, table) for table in tables if table not in LEFT_OUT},
    )


def _schema(connected: psycopg.Connection[Any]) -> str:
    return str(_one(connected, _SCHEMA, MIGRATIONS_TABLE))


def _count(connected: psycopg.Connection[Any], schema: str, table: str) -> int:
    return int(_one(connected, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))))


def _one(connected: psycopg.Connection[Any], query: Any, *values: Any) -> Any:
    return connected.execute(query, values).fetchall()[0][0]


def _rename(name: str, to: str) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))


def _said(error: psycopg.Error) -> str:
    return str(error).strip().replace("\n", " ")
