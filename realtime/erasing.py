"""What is taken out of notifications, pushes and the event log when somebody erases their account."""

from collections.abc import Collection, Iterable

from django.db.models import QuerySet

from realtime import groups
from realtime.models import Event, Notification, PushSubscription
from stepper.accounts.person import Person
from stepper.db.batches import batches

# By so many letters names are looked up.
_START = 4
_OF_TRIPS = (Notification.Category.TRIP, Notification.Category.BOOKING, Notification.Category.CHAT)


def erase(person: Person) -> None:
    """Delete what was sent to the person, and the browsers that it was sent to."""
    Notification.objects.filter(user=person.user_id).delete()
    PushSubscription.objects.filter(user=person.user_id).delete()
    own = [groups.user(person.user_id)]
    if person.driver_id is not None:
        own.append(groups.driver(person.driver_id))
    forget_events(own)
    for phone in (name for name in person.names if name.startswith("+")):
        announced = Event.objects.filter(type="call.announced", published_at__isnull=False)
        announced.filter(frame__contains=f'"phone":"{phone}"').delete()


def forget_events(names: Iterable[str]) -> None:
    """Delete the published events of groups: what a client that was away is told of them is in their pages anyway."""
    for some in batches(names):
        Event.objects.filter(group__in=some, published_at__isnull=False).delete()


def forget_notices(
    receivers: Collection[int], *, names: Collection[str], pages: Collection[str], needs_both: bool = False
) -> None:
    """Delete notifications of other people that name somebody or a place of theirs, or lead to one of the pages.

    `receivers`: who can have got any, by the ids of their accounts. `needs_both`: only those that name somebody and
    lead to one of the pages.
    """
    for some in batches(sorted(receivers)):
        theirs = Notification.objects.filter(user__in=some)
        leading = [theirs.filter(action_url__in=addresses) for addresses in batches(sorted(pages))]
        for rows in leading if needs_both else [theirs.filter(category__in=_OF_TRIPS)]:
            for found in batches(_naming(rows, names)):
                Notification.objects.filter(pk__in=found).delete()
        for rows in [] if needs_both else leading:
            rows.delete()


def _naming(rows: QuerySet[Notification], names: Collection[str]) -> list[int]:
    """Return the ids of the notifications that have one of the names in them.

    Not by the database: somebody's names and places may be thousands, and each would be looked for in each row.
    """
    lengths: dict[str, set[int]] = {}
    for name in names:
        lengths.setdefault(name[:_START], set()).add(len(name))
    starts, known = {len(start) for start in lengths}, frozenset(names)

    def has_name(text: str) -> bool:
        return any(
            text[at : at + length] in known
            for at in range(len(text))
            for start in starts
            for length in lengths.get(text[at : at + start], ())
        )

    if not names:
        return []
    texts = rows.order_by().values_list("pk", "title", "message")
    return [pk for pk, title, message in texts.iterator() if has_name(title) or has_name(message)]
