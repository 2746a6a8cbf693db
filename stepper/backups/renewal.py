"""What must follow every restore: nothing that was given out by the lost state is taken for one of the restored.

Somebody may hold what was made after the backup: a cursor, a session, a link, the version of a trip, the number of an
offer. The restored database knows nothing of them, and would believe those that happen to fit.
"""

import datetime as dt
import secrets

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import connection, transaction
from django.db.models import AutoField, F, Model

from stepper import security_log
from stepper.models import Restore, SecurityEventCode
from trips.models import Trip
from trips.states import FINISHED

from .contents import LEFT_OUT

APPS = ("stepper", "trips", "drivers", "realtime")
# Numbers of rows, and versions of unfinished trips, skip so many: more than can have been given out since the backup.
SKIPPED_IDS = 100_000
SKIPPED_VERSIONS = 1_000


@transaction.atomic
def renew(backup_made_at: dt.datetime | None) -> None:
    """Begin a new generation of the restored database.

    1. Empty LEFT_OUT: sessions and tokens, mailed links and codes, the outbox.
    2. Begin a generation: earlier cursors and links that set a password are refused.
    3. Raise the versions of unfinished trips: clients ignore a version lower than one they have seen.
    4. Delete recovery codes: those used since the backup would open their accounts again; people make new ones.
    5. Skip numbers of rows: an offer or a trip of the lost state must not be another one now.
    6. Write it to the security log.
    """
    with connection.cursor() as cursor:
        for table in LEFT_OUT:
            # Without Django's signals, which would write to the outbox.
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - our own tables
    Restore.objects.create(generation=secrets.token_hex(4), backup_made_at=backup_made_at)
    Trip.objects.exclude(status__in=FINISHED).update(version=F("version") + SKIPPED_VERSIONS)
    Authenticator.objects.filter(type=Authenticator.Type.RECOVERY_CODES).delete()
    for app in APPS:
        for model in apps.get_app_config(app).get_models():
            if isinstance(model._meta.pk, AutoField):
                _skip_ids(model)
    lost_since = f"{backup_made_at:%Y-%m-%d %H:%M:%S} UTC" if backup_made_at else "not known"
    security_log.record(SecurityEventCode.DATABASE_RESTORED, details=f"what is lost begins: {lost_since}")


def _skip_ids(model: type[Model]) -> None:
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT setval(name, coalesce(pg_sequence_last_value(name::regclass), 0) + %s) "
                "FROM (SELECT pg_get_serial_sequence(%s, %s) AS name) AS sequence",
                [SKIPPED_IDS, table, model._meta.pk.column],
            )
            return
        cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = %s", [SKIPPED_IDS, table])
        if not cursor.rowcount:  # nothing was ever written to the table
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, SKIPPED_IDS])
