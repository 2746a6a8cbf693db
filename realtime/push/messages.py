"""What pushes say, in the user's language and no more than a lock screen needs: no coordinates, no phone numbers."""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

from django.utils.translation import override

from realtime.models import PushSubscription
from realtime.push.endpoints import host_of
from realtime.push.sending import send_push
from realtime.push.subscriptions import find_subscriptions, is_offered, living, wants
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


# Who gets a push: a user by id, or a driver by the id of their row.
_Receiver = tuple[Literal["user", "driver"], int]


def send_pushes(pushes: Sequence[tuple[int, Push]]) -> None:
    """Enqueue pushes for users by their ids, in the current transaction."""
    if pushes and is_offered():
        write_at_end(_send, [(("user", user_id), push) for user_id, push in pushes])


def send_to_drivers(pushes: Sequence[tuple[int, Push]]) -> None:
    """Enqueue pushes for drivers by the ids of their rows, likewise."""
    if pushes and is_offered():
        write_at_end(_send, [(("driver", driver_id), push) for driver_id, push in pushes])


def _send(pushes: list[tuple[_Receiver, Push]]) -> None:
    """Enqueue all pushes of a verb: by one query, where nobody is subscribed."""
    found = find_subscriptions(
        users=[who for (kind, who), _push in pushes if kind == "user"],
        drivers=[who for (kind, who), _push in pushes if kind == "driver"],
    )
    if found:
        enqueue(*_works(pushes, living(pk__in=found)))


def _works(pushes: Sequence[tuple[_Receiver, Push]], rows: Sequence[PushSubscription]) -> Iterable[Work]:
    rows_of: dict[_Receiver, list[PushSubscription]] = defaultdict(list)
    for row in rows:
        for receiver in _receivers(row.user):
            rows_of[receiver].append(row)
    for who, push in pushes:
        for row in rows_of[who]:
            if not wants(row.user, push.topic):
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


def _receivers(user: User) -> set[_Receiver]:
    found: set[_Receiver] = {("user", user.pk)}
    if (driver := getattr(user, "driver", None)) is not None:
        found.add(("driver", driver.pk))
    return found
