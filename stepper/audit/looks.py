"""Looks of staff at people's data: one row for each member of staff, person and quarter of an hour.

A page that shows somebody's data to staff calls `looked_at`. What is looked at afterwards within the same quarter of an
hour adds nothing, but for what is `APART`: pictures of documents, and what people wrote to each other, are never hidden
behind a look at the name of their trip. Rows are not counted together, because nothing may change one.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone
from redis.exceptions import RedisError

from stepper.audit import registry
from stepper.audit.context import Actor, actor_of, find_actor
from stepper.audit.writing import entry
from stepper.models import AuditAction, AuditEntry, User

MERGED_S = 15 * 60
APART = frozenset({"drivers.driverdocument", "trips.tripmessage", "stepper.auditentry"})


def looked_at(by: Any, person_ids: Iterable[int | None], what: str, object_id: Any = "") -> None:
    """Log that staff look at data of people; nothing for whoever is not staff, and of their own.

    `by`: the request, or the user where there is none. `what`: the label of the row that the page is about, in lower
    case, and `object_id` its number.
    """
    actor = _actor(by)
    people = {person for person in person_ids if person is not None} - {actor.user_id if actor else None}
    if actor is not None and people:
        _write(actor, sorted(people), what, object_id)


def looked_at_row(request: Any, row: Model) -> None:
    """Log that staff look at a page of one row, which is data of the people that the registry knows of."""
    if _actor(request) is not None:
        looked_at(request, registry.people_of(row), row._meta.label_lower, row.pk)


def looked_at_list(request: Any, what: str) -> None:
    """Log that staff look at a list of rows of many people, which it does not name."""
    actor = _actor(request)
    if actor is not None:
        _write(actor, [None], what, "")


def _actor(by: Any) -> Actor | None:
    if not isinstance(by, User):
        return actor_of(by)
    acting = find_actor()
    if acting is not None and acting.user_id == by.pk:
        return acting
    return Actor(by.pk, "", "") if by.is_staff else None


def _write(actor: Actor, people: Iterable[int | None], what: str, object_id: Any) -> None:
    """Insert the looks that are new; those of the same quarter of an hour are there, whoever is first."""
    quarter = int(timezone.now().timestamp()) // MERGED_S
    rows = []
    for person in people:
        # A list has no person, so it is merged with the same kind of list.
        part = what if person is None or what in APART else ""
        one = entry(actor, AuditAction.LOOK, model=what, object_id=object_id, person_id=person)
        one.merge_key = f"{actor.user_id}:{'-' if person is None else person}:{quarter}:{part}"
        rows.append(one)
    known = _known([_cache_key(one) for one in rows])
    new = [one for one in rows if _cache_key(one) not in known]
    if new:
        AuditEntry.objects.bulk_create(new, ignore_conflicts=True)
        transaction.on_commit(lambda: _remember(new), robust=True)


def _cache_key(one: AuditEntry) -> str:
    return f"audit:look:{connection.settings_dict['NAME']}:{one.merge_key}"


def _known(keys: list[str]) -> set[str]:
    """Return which looks are stored already, as far as the cache knows."""
    with suppress(RedisError):
        return set(cache.get_many(keys))
    return set()


def _remember(rows: list[AuditEntry]) -> None:
    with suppress(RedisError):
        cache.set_many({_cache_key(one): 1 for one in rows}, MERGED_S)
