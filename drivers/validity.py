"""Until when a driver's licence and documents are valid, kept in the driver's row, and reminders before they end.

The search, an accept and the online switch read `documents_valid_until` of a row that they have, and no documents.
"""

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from django.db.models.functions import Now
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from drivers.models import (
    REQUIRED_KINDS,
    Approval,
    DocumentKind,
    DocumentStatus,
    Driver,
    DriverApplication,
    DriverDocument,
)
from realtime.delivery.notifications import notify
from stepper.dates import NEVER
from stepper.db.transactions import in_transaction, isolate_failures

REMINDED_BEFORE = (dt.timedelta(days=30), dt.timedelta(days=7))
REMINDED_AT = dt.time(9)


def store_validity(driver: Driver) -> None:
    """Store until when a locked driver's documents are valid, and when to remind of them next.

    Of somebody whom staff entered the documents count that were accepted; who applied needs one of each kind. The
    licence has a date of its own, which staff may change.
    """
    accepted = _accepted(driver)
    has_applied = DriverApplication.objects.filter(pk=driver.user_id, submitted_at__isnull=False).exists()
    dates = [day for kind, day in accepted.items() if kind != DocumentKind.LICENCE]
    if has_applied and not accepted.keys() >= set(REQUIRED_KINDS):
        # Somebody without an accepted document of a kind that they need.
        dates = [NEVER]
    driver.documents_valid_until = min(dates, default=None)
    driver.documents_due_at = _next_reminder(driver, [driver.licence_expires_on, *accepted.values()])
    driver.save(update_fields=["documents_valid_until", "documents_due_at"])


def _accepted(driver: Driver) -> dict[DocumentKind, dt.date]:
    """Return the last day of each accepted document of the kinds that are required."""
    rows = DriverDocument.objects.filter(owner=driver.user_id, status=DocumentStatus.ACCEPTED, kind__in=REQUIRED_KINDS)
    dates = rows.order_by("kind").values_list("kind", "expires_on")
    return {DocumentKind(kind): day for kind, day in dates if day is not None}


def _next_reminder(driver: Driver, days: list[dt.date]) -> dt.datetime | None:
    today = timezone.localdate()
    ahead = [day - before for day in days for before in REMINDED_BEFORE if day - before > today]
    return dt.datetime.combine(min(ahead), REMINDED_AT, ZoneInfo(driver.timezone)) if ahead else None


def remind_due(limit: int = 100) -> int:
    """Remind drivers whose licence or documents end soon; return how many were due.

    A driver who is new here is due at once: their dates are read then.
    """
    due = Driver.objects.filter(documents_due_at__lte=Now()).order_by("documents_due_at")
    driver_ids = list(due.values_list("pk", flat=True)[:limit])
    return sum(isolate_failures(_remind, [driver_id]) for driver_id in driver_ids)


@in_transaction
def _remind(driver_ids: list[int]) -> int:
    """Remind one driver, unless another dispatcher does; whatever is left out here is due again at its own day."""
    rows = Driver.objects.select_for_update(no_key=True, skip_locked=True, of=("self",)).select_related("user")
    driver = rows.filter(pk__in=driver_ids, documents_due_at__lte=Now()).first()
    if driver is None:
        return 0
    store_validity(driver)
    ending = _ending(driver)
    if ending and driver.approval == Approval.APPROVED and driver.user.is_active:
        with override(driver.user.offered_language):
            days = [f"{kind.label}: {formats.date_format(day, 'SHORT_DATE_FORMAT')}" for kind, day in ending.items()]
            notify(
                driver.user,
                _("Send newer documents"),
                message=_("These end soon, and without them you get no offers: %(documents)s.")
                % {"documents": ", ".join(days)},
                audience="driver",
                priority="high",
                category="system",
                action_url="/driver/settings/",
            )
    return 1


def _ending(driver: Driver) -> Mapping[DocumentKind, dt.date]:
    """Return what ends within the first reminder's time, without what a newer one was sent of."""
    today = timezone.localdate()
    last = today + max(REMINDED_BEFORE)
    newer = DriverDocument.objects.filter(owner=driver.user_id, status=DocumentStatus.PENDING)
    sent = set(newer.values_list("kind", flat=True))
    dates = {DocumentKind.LICENCE: driver.licence_expires_on} | {
        kind: day for kind, day in _accepted(driver).items() if kind != DocumentKind.LICENCE
    }
    return {kind: day for kind, day in dates.items() if today <= day <= last and kind not in sent}
