"""Old months of the audit log: the one way in which rows of it go.

The triggers of the table (stepper/migrations) refuse every deletion but that of rows older than an instant which stands
in `AuditRetention` in the same transaction, and never of one younger than `LEAST_KEPT`, whatever stands there. A batch
is a transaction, and writes an entry that says what it deleted.
"""

import datetime as dt
from typing import Final

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from stepper.audit.context import Actor
from stepper.audit.writing import entry
from stepper.db.transactions import in_transaction
from stepper.models import AuditAction, AuditEntry, AuditRetention, ServiceSettings

BATCH: Final = 5_000
# As the triggers have it; the least that staff can set is a month more.
LEAST_KEPT: Final = dt.timedelta(days=150)
VIA: Final = "prune_audit"


def oldest_kept(now: dt.datetime, months: int) -> dt.datetime:
    """Return the beginning, in UTC, of the first month that is kept of so many full ones before the present one."""
    count = now.year * 12 + now.month - 1 - months
    return dt.datetime(count // 12, count % 12 + 1, 1, tzinfo=dt.UTC)


def drop_old_months() -> int:
    """Delete the months that are no longer kept, a batch at a time; return how many rows went.

    None within a day after a change of the settings: whoever has the log kept shorter to hide something would have it
    deleted before anybody sees the change in it.
    """
    settings, now = ServiceSettings.current(), timezone.now()
    if settings.updated_at is not None and now - settings.updated_at < dt.timedelta(days=1):
        return 0
    before = oldest_kept(now.astimezone(dt.UTC), settings.audit_kept_months)
    dropped = 0
    while number := drop_batch(before):
        dropped += number
    return dropped


@in_transaction
def drop_batch(before: dt.datetime) -> int:
    """Delete the oldest rows from before an instant and log it; return how many. Two at once delete each row once."""
    oldest = AuditEntry.objects.filter(at__lt=before).order_by("at", "pk")
    rows = list(oldest.select_for_update(skip_locked=True).values_list("pk", "at")[:BATCH])
    if not rows:
        return 0
    allowed = AuditRetention.objects.create(before=before)
    AuditEntry.objects.filter(pk__in=[pk for pk, _at in rows])._raw_delete(DEFAULT_DB_ALIAS)
    allowed.delete()
    said = entry(
        Actor(None, "", VIA),
        AuditAction.PRUNE,
        model=AuditEntry._meta.label_lower,
        fields={"rows": [len(rows), None], "at": [rows[0][1].isoformat(), rows[-1][1].isoformat()]},
    )
    said.save()
    return len(rows)
