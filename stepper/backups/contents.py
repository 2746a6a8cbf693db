"""What a backup holds, what is left out of it and why, and the manifest that says so."""

import datetime as dt
from typing import Literal

import msgspec
from django.contrib.sessions.models import Session
from django.db.migrations.loader import MigrationLoader
from django_tasks_db.models import DBTaskResult

from realtime.models import Event, PushSubscription, ServerBeat
from stepper.models import AccountSession, AddressChange, AddressCode, PhoneCode
from trips.models import TripShare

Kind = Literal["sqlite", "postgresql"]
FORMAT = 1

# Tables whose rows no backup holds, and which a restore empties:
# - sessions, and with them all tokens: whoever reads a backup could act as everybody who is signed in, and a sign-out,
#   a new password or a revoked token since the backup would be undone. Browsers that get pushes go with them;
# - links and codes that were sent, and links to shared trips: those used up or ended since would work again;
# - the outbox: clients that resume would be told what happened before the backup as if it were new;
# - tasks that wait: mails and pushes of before the backup were sent long ago, or are about what is past;
# - beats of dispatchers.
LEFT_OUT = tuple(
    model._meta.db_table
    for model in (
        Session,
        AccountSession,
        PushSubscription,
        AddressChange,
        AddressCode,
        PhoneCode,
        TripShare,
        Event,
        DBTaskResult,
        ServerBeat,
    )
)
MIGRATIONS_TABLE = "django_migrations"


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a database or its backup."""

    database_version: str
    # "app.name" of every migration applied.
    migrations: list[str]
    # Table -> rows, without LEFT_OUT.
    rows: dict[str, int]


class Manifest(Contents, frozen=True, kw_only=True):
    """What is written beside the database's file. `made_at` is when the backup began, in UTC."""

    format: int = FORMAT
    made_at: dt.datetime
    database: Kind
    # Which database it is of: the file, or host, port and name. Rotation deletes backups of the same one only.
    source: str
    size: int
    sha256: str
    left_out: list[str]


def unknown_migrations(manifest: Manifest) -> list[str]:
    """List the migrations of a backup that this release does not have."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    known = {f"{app}.{name}" for app, name in loader.disk_migrations or {}}
    return sorted(set(manifest.migrations) - known)
