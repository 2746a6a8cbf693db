"""What pushes say, in the user's language and no more than a lock screen needs: no coordinates, no phone numbers."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

from django.utils.translation import override

from realtime.push.endpoints import host_of
from realtime.push.sending import send_push
from realtime.push.subscriptions import is_offered, living, wants
from stepper.db.transactions import write_at_end
from stepper.models import User
from stepper.tasks.queue import Work, enqueue

# How long a push service keeps what it cannot deliver yet, an offer until its deadline. It goes by no session: a device
# that is switched on again gets what is kept although its session has ended meanwhile. The notifications have it all.
KEPT: Final = dt.timedelta(hours=2)
# The end of an offer matters only to a browser that still shows it.
END_KEPT: Final = dt.timedelta(hours=1)
URGENT: Final = 10
_Urgency = Literal["normal", "high"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Push:
    """One push. What has the same `tag` takes its place, at the push service and on the screen."""

    topic: str
    tag: str
    until: dt.datetime
    # In the language that is active.
    write: Callable[[], dict[str, Any]]
    url: str
    urgency: _Urgency = "normal"


# One query at the end of a verb, however many of its changes cause pushes, where nobody is subscribed.


def send_pushes(pushes: Sequence[tuple[int, Push]]) -> None:
    """Enqueue pushes for users by their ids, in the current transaction."""
    if pushes and is_offered():
        write_at_end(_send_to_users, list(pushes))


def send_to_drivers(pushes: Sequence[tuple[int, Push]]) -> None:
    """Enqueue pushes for drivers by the ids of their rows, likewise."""
    if pushes and is_offered():
        write_at_end(_send_to_drivers, list(pushes))


def _send_to_users(pushes: list[tuple[int, Push]]) -> None:
    enqueue(*_works(pushes, by="user_id"))


def _send_to_drivers(pushes: list[tuple[int, Push]]) -> None:
    enqueue(*_works(pushes, by="user__driver"))


def _works(pushes: Sequence[tuple[int, Push]], *, by: str) -> Iterable[Work]:
    rows = living(**{f"{by}__in": {who for who, _push in pushes}})
    for who, push in pushes:
        for row in rows:
            if _id_of(row.user, by) != who or not wants(row.user, push.topic):
                continue
            with override(row.user.offered_language):
                payload = push.write() | {"tag": push.tag, "url": push.url, "topic": push.topic}
            data = {
                "subscription": row.pk,
                "payload": payload,
                "until": push.until.timestamp(),
                "urgency": push.urgency,
            }
            priority = URGENT if push.urgency == "high" else 0
            yield Work(send_push, data, host=host_of(row.endpoint) or "", until=push.until, priority=priority)


def _id_of(user: User, by: str) -> int:
    return user.driver.pk if by == "user__driver" else user.pk
