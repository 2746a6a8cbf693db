"""Which notifications somebody wants by e-mail and by SMS. Pushes: `realtime.push.subscriptions`.

What is behind the bell everybody gets. Without a choice all pushes come, and neither mails nor SMS. Mails go to an
address that its owner has proved alone, SMS to a verified number, and only what a trip hangs on: a driver was found or
is at the pickup, the trip was cancelled.
"""

import dataclasses
from collections.abc import Mapping

from realtime.push import subscriptions
from realtime.push.subscriptions import Topic
from stepper import limits
from stepper.accounts.addresses import is_proven
from stepper.db.transactions import in_transaction
from stepper.mail import sending as mail
from stepper.models import User
from stepper.sms import sending as sms

# An offer is over before anybody reads a mail.
MAIL_TOPICS = tuple(topic for topic in Topic if topic is not Topic.OFFER)


@dataclasses.dataclass(frozen=True, slots=True)
class Choices:
    """What somebody wants; and what keeps mails and SMS from them now: "", "not_offered", "missing" or "unproven"."""

    push: dict[Topic, bool]
    mail: dict[Topic, bool]
    sms: bool
    mail_lack: str
    sms_lack: str


def choices_of(user: User) -> Choices:
    wanted = set(user.mail_topics.split())
    return Choices(
        push=subscriptions.topics_of(user),
        mail={topic: topic in wanted for topic in MAIL_TOPICS},
        sms=user.wants_trip_sms,
        mail_lack=_lack(mail.is_offered(), bool(user.email), is_proven(user)),
        sms_lack=_lack(sms.is_offered(), bool(user.phone), user.has_verified_phone),
    )


def _lack(is_offered: bool, is_there: bool, is_proved: bool) -> str:
    if not is_offered:
        return "not_offered"
    if not is_there:
        return "missing"
    return "" if is_proved else "unproven"


def wants_mail(user: User, topic: str) -> bool:
    """Say whether somebody chose mails of a kind; nothing is read."""
    return bool(user.mail_topics) and topic in user.mail_topics.split()


def choose(
    user: User,
    *,
    push: Mapping[Topic, bool] | None = None,
    mail: Mapping[Topic, bool] | None = None,
    sms: bool | None = None,
) -> None:
    """Set which notifications somebody wants; what is not named stays as it is.

    Raises:
        NotPermitted: account.inactive
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call("notifications.choose", user.pk, setting="changes_per_min")
    if push:
        subscriptions.store_topics(user, push)
    _choose(user, mail or {}, sms)


@in_transaction
def _choose(user: User, mail: Mapping[Topic, bool], sms: bool | None) -> None:
    stored = User.objects.lock_active(user.pk)
    wanted = set(stored.mail_topics.split())
    for topic, is_wanted in mail.items():
        (wanted.add if is_wanted else wanted.discard)(topic.value)
    user.mail_topics = " ".join(sorted(wanted))
    user.wants_trip_sms = stored.wants_trip_sms if sms is None else sms
    User.objects.filter(pk=user.pk).update(mail_topics=user.mail_topics, wants_trip_sms=user.wants_trip_sms)
