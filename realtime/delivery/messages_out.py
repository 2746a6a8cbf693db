"""Notifications as e-mails and SMS: one task for each, written with the notification and run after the commit.

A task reads anew whether its receiver still wants it and may get it: between the two they can have chosen otherwise,
changed address or number, or erased the account.
"""

import datetime as dt
from typing import Final

from django.conf import settings
from django.utils import timezone
from django_tasks import task

from realtime.delivery.choices import wants_mail
from realtime.models import Notification
from stepper import day_counts
from stepper.accounts.addresses import is_proven
from stepper.accounts.phone_codes import SMS_IN_ALL, notes_per_day
from stepper.db.transactions import in_transaction
from stepper.mail import sending as mail
from stepper.models import ServiceSettings
from stepper.sms import sending as sms
from stepper.tasks.queue import Work, enqueue, waiting
from stepper.tasks.worker import MAIL, SMS, TryAgain

# To one account; whoever wants more has the app.
MAILS_PER_DAY: Final = 50
# Later it is no news any more.
KEPT: Final = dt.timedelta(hours=2)
_SMS_LENGTH: Final = 200
# Counted apart from codes, and in all up to half of them: news must not keep anybody from signing in.
_TO_ACCOUNT, _TO_NUMBER = "mail:notice", "sms:notice"


def enqueue_mail(notification: Notification) -> None:
    """Have a notification mailed once this commits."""
    mail.run_after_commit(mail_notification, notification=notification.pk)


def enqueue_sms(notification: Notification) -> None:
    """Have a notification sent by SMS once this commits; where too many wait it is given up."""
    provider = settings.SMS_PROVIDER
    if provider is not None and waiting(SMS.name, most=sms.MOST_WAITING) < sms.MOST_WAITING:
        work = Work(
            sms_notification, {"notification": notification.pk}, host=provider.host, until=timezone.now() + KEPT
        )
        enqueue(work)


def _find(notification_id: int) -> Notification | None:
    rows = Notification.objects.filter(pk=notification_id, user__is_active=True)
    return rows.select_related("user").first()


@task(queue_name=MAIL.name)
def mail_notification(*, notification: int) -> None:
    """Mail a notification, if its user still wants it and has proved the address. Raises as `mail.deliver`."""
    row = _find(notification)
    if row is None or not wants_mail(row.user, row.category) or not is_proven(row.user):
        return
    if not _count(_TO_ACCOUNT, str(row.user_id), most=MAILS_PER_DAY):
        return
    url = f"{settings.PUBLIC_URL}{row.action_url or '/notifications/'}" if settings.PUBLIC_URL else ""
    context = {"user": row.user, "notification": row, "url": url}
    written = mail.write("notification", str(row.user.email), language=row.user.offered_language, context=context)
    try:
        mail.deliver(written)
    except TryAgain:
        _take_back((_TO_ACCOUNT, str(row.user_id)))
        raise


@task(queue_name=SMS.name)
def sms_notification(*, notification: int) -> None:
    """Send a notification by SMS, if its user still wants it and has verified the number. Raises as `send_sms`."""
    row = _find(notification)
    if row is None or not row.user.wants_trip_sms or not row.user.has_verified_phone or row.user.phone is None:
        return
    phone, limits = row.user.phone.as_e164, ServiceSettings.current()
    if not _count(_TO_NUMBER, phone, most=limits.sms_per_number_day):
        return
    if not _count(SMS_IN_ALL, most=notes_per_day(limits)):
        _take_back((_TO_NUMBER, phone))
        return
    try:
        sms.send_sms.func(phone=phone, text=f"StepperGO: {row.title}. {row.message}".strip()[:_SMS_LENGTH])
    except TryAgain:
        _take_back((_TO_NUMBER, phone), (SMS_IN_ALL, ""))
        raise


_count = in_transaction(day_counts.count_within)


@in_transaction
def _take_back(*counted: tuple[str, str]) -> None:
    for scope, who in counted:
        day_counts.take_back(scope, who)
