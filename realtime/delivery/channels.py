"""The ways a notification reaches somebody: the pages and programs they have open, pushes, e-mail, SMS.

To add one: a class with `deliver`, its place in CHANNELS, a test beside the others in
tests/realtime/test_notifications.py.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from realtime import events, groups
from realtime.delivery.choices import wants_mail
from realtime.delivery.messages_out import enqueue_mail, enqueue_sms
from realtime.models import Notification
from realtime.outbox import publish_many
from realtime.push.notices import send_notices

# The role in which a user gets a notification.
Audience = Literal["driver", "passenger", "staff"]

_EVENTS: dict[Audience, Callable[..., events.DurableFrame]] = {
    "driver": events.NotificationDriver,
    "passenger": events.NotificationPassenger,
    "staff": events.NotificationStaff,
}


class Message(NamedTuple):
    """A stored notification, in the user's language, and in what capacity they get it."""

    notification: Notification
    audience: Audience
    # A trip hangs on it: it is worth an SMS.
    is_critical: bool = False


class Channel(Protocol):
    """One way to somebody."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Arrange that the messages leave after the commit, and only then.

        Called inside the transaction that causes them, so that what a channel must not lose it can write there. It
        must not wait for anything outside the database, and a failure takes the whole transaction back. What may fail,
        as all that talks to somebody else may, runs as `transaction.on_commit(lambda: …, robust=True)`, which logs it.
        """


class LiveChannel:
    """An event to every open page and program of the user, by way of the outbox."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Publish one event for each message to its user's group."""
        publish_many((_event(one), groups.user(one.notification.user_id)) for one in messages)


def _event(message: Message) -> events.DurableFrame:
    row = message.notification
    return _EVENTS[message.audience](
        notification_id=row.pk,
        title=row.title,
        message=row.message,
        priority=row.priority,
        category=row.category,
        action_url=row.action_url,
    )


class PushChannel:
    """A push to every browser of the user that asked for them."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Enqueue one push for each message and browser."""
        send_notices([message.notification for message in messages])


class MailChannel:
    """An e-mail to those who chose it for this kind; not of what is for staff, who lose their rights at any time."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Enqueue one mail for each message."""
        for message in messages:
            row = message.notification
            if message.audience != "staff" and wants_mail(row.user, row.category):
                enqueue_mail(row)


class SmsChannel:
    """An SMS to those who chose it, of what a trip hangs on."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Enqueue one SMS for each such message."""
        for message in messages:
            user = message.notification.user
            if message.is_critical and user.wants_trip_sms and user.has_verified_phone:
                enqueue_sms(message.notification)


CHANNELS: tuple[Channel, ...] = (LiveChannel(), PushChannel(), MailChannel(), SmsChannel())
