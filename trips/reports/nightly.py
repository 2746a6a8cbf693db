"""The figures of the day before by e-mail, each morning, to whom the settings name. No figure is about a person."""

import datetime as dt

from django.conf import settings as django_settings
from django.db.models import Q, Sum
from django.utils import translation

from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction
from stepper.mail import sending
from stepper.models import ServiceSettings, User
from trips.models import ReportState, TripDay

from .days import DAY, bounds, day_of

# Of the service's zone: the day is over, and nobody has begun to work.
FROM_H = 6
_SUMS = ("trips", "completed", "cancelled", "unfilled", "accepted", "accept_s", "ended", "fare", "fee")


def send_due() -> bool:
    """Send the mails of the day before if they are due; return whether they were."""
    now = database_now()
    today = day_of(now)
    if now < bounds(today)[0] + dt.timedelta(hours=FROM_H) or not sending.is_offered():
        return False
    return _send(today, ServiceSettings.current().report_addresses)


@in_transaction
def _send(today: dt.date, addresses: list[str]) -> bool:
    """Write the mails, once each day: whoever sets the day first sends, in the transaction that does."""
    unsent = Q(mailed_on__isnull=True) | Q(mailed_on__lt=today)
    # Not before all of the day before is counted.
    counted = ReportState.objects.filter(unsent, pk=1, counted_at__gte=bounds(today)[0], fill_from__isnull=True)
    if not addresses or not counted.update(mailed_on=today):
        return False
    yesterday = today - DAY
    sums = TripDay.objects.filter(day=yesterday).aggregate(**{name: Sum(name, default=0) for name in _SUMS})
    context = sums | {
        "day": yesterday,
        "percent": round(100 * sums["completed"] / sums["trips"]) if sums["trips"] else 0,
        "accept_s": round(sums["accept_s"] / sums["accepted"]) if sums["accepted"] else None,
        "link": f"{django_settings.PUBLIC_URL}/ops/reports/?from={yesterday}&to={yesterday}",
    }
    users = User.objects.filter(email__in=[address.lower() for address in addresses])
    languages = {user.email: user.offered_language for user in users}
    for address in addresses:
        language = languages.get(address.lower(), django_settings.LANGUAGE_CODE)
        with translation.override(language):
            sending.send("night_report", address, language=language, context=context)
    return True
