"""What staff and the system change, written to the audit log in the transaction of the change.

It observes every write of the ORM (stepper.db.changes), whoever calls it: verbs, `update` of many rows, the
administration. Statements written by hand are not seen: they are of positions, places' imports and deletions of old
rows. A change that cannot be logged is not made.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Field, Model, QuerySet
from django.utils import timezone

from stepper.audit import registry
from stepper.audit.context import Actor, find_actor, is_anybody_acting
from stepper.db import changes
from stepper.db.transactions import write_at_end
from stepper.models import AuditAction, AuditEntry

# A longer text is cut: settings have addresses and lists of words.
LONGEST_TEXT = 200
# In `fields`, beside names of fields: how many rows one entry is about, where it is about more than one.
ROWS = "rows"

Fields = dict[str, list[Any] | None]


def entry(
    actor: Actor,
    action: AuditAction,
    *,
    model: str,
    object_id: Any = "",
    person_id: int | None = None,
    fields: Fields | None = None,
) -> AuditEntry:
    """Return an entry that is not stored yet."""
    return AuditEntry(
        at=timezone.now(),
        action=action,
        actor_id=actor.user_id,
        address=actor.address,
        via=actor.via,
        person_id=person_id,
        model=model,
        object_id=str(object_id)[:40],
        fields=fields or {},
    )


def record(actor: Actor, action: AuditAction, **about: Any) -> None:
    """Write one entry in the present transaction, at the end of its unit of work. `about`: as of `entry`."""
    write_at_end(_insert, [entry(actor, action, **about)])


def _insert(entries: list[AuditEntry]) -> None:
    """Insert the entries of a unit of work; what was changed of one row in several steps is one."""
    merged: dict[tuple[Any, ...], AuditEntry] = {}
    for one in entries:
        key = (one.action, one.actor_id, one.via, one.model, one.object_id)
        first = merged.get(key) if one.action == AuditAction.CHANGE and one.object_id else None
        if first is None:
            merged[key if key not in merged else (*key, len(merged))] = one
            continue
        for name, pair in one.fields.items():
            before = first.fields.get(name)
            first.fields[name] = [before[0], pair[1]] if before and pair else pair
    AuditEntry.objects.bulk_create(one for one in merged.values() if _says_something(one))


def _says_something(one: AuditEntry) -> bool:
    """Leave out what was put back in the same unit of work."""
    if one.action != AuditAction.CHANGE:
        return True
    one.fields = {name: pair for name, pair in one.fields.items() if pair is None or pair[0] != pair[1]}
    return bool(one.fields)


class Changes(changes.Observer):
    """Writes entries of what staff and the system change."""

    def watches(self, model: type[Model], using: str) -> bool:
        return (
            is_anybody_acting()
            and using == DEFAULT_DB_ALIAS
            and registry.find(model) is not None
            # Not of a migration.
            and model._meta.apps is apps
        )

    def awaits_rows(self, model: type[Model]) -> bool:
        return not registry.WATCHED[model._meta.label_lower].only_later and find_actor() is not None

    def inserted(self, model: type[Model], objs: Sequence[Any], keys: Sequence[Any]) -> None:
        watched = registry.WATCHED[model._meta.label_lower]
        if not objs or (actor := find_actor()) is None:
            return
        label = model._meta.label_lower
        if len(objs) > changes.ROWS_READ:
            record(actor, AuditAction.CREATE, model=label, fields={ROWS: [None, len(objs)]})
            return
        for obj, key in zip(objs, keys, strict=True):
            values = {field.attname: getattr(obj, field.attname) for field in model._meta.concrete_fields}
            fields: Fields = {}
            for field in model._meta.concrete_fields:
                value = values[field.attname]
                if field.primary_key or field.name in watched.quiet or value is None or value == "":
                    continue
                fields[field.name] = [None, _as_json(value)] if watched.tells(field.name) else None
            values["pk"] = key
            record(
                actor,
                AuditAction.CREATE,
                model=label,
                object_id="" if values[watched.key] is None else values[watched.key],
                person_id=_person(model, watched, values),
                fields=fields,
            )

    def reads(self, model: type[Model], written: Iterable[str] | None) -> list[str]:
        watched = registry.WATCHED[model._meta.label_lower]
        names = [field.name for field in model._meta.concrete_fields] if written is None else list(written)
        if not (columns := _columns(model, watched, names)) or find_actor() is None:
            return []
        return list({"pk": 0, watched.key: 0, **({watched.person: 0} if watched.person else {}), **columns})

    def updated(self, rows: QuerySet[Any, changes.Row], before: list[changes.Row], number: int) -> None:
        model, actor = rows.model, find_actor()
        watched = registry.WATCHED[model._meta.label_lower]
        if actor is None:
            return
        label, columns = model._meta.label_lower, _columns(model, watched, before[0])
        if number > len(before):
            names: Fields = {_field(model, name).name: None for name in columns}
            record(actor, AuditAction.CHANGE, model=label, fields={ROWS: [None, number], **names})
            return
        after = {row["pk"]: row for row in rows.filter(pk__in=[row["pk"] for row in before])}
        for row in before:
            now = after.get(row["pk"], row)
            changed = [name for name in columns if now[name] != row[name]]
            fields: Fields = {}
            for name in changed:
                told = watched.tells(_field(model, name).name)
                fields[_field(model, name).name] = [_as_json(row[name]), _as_json(now[name])] if told else None
            if fields:
                record(
                    actor,
                    AuditAction.CHANGE,
                    model=label,
                    object_id=row[watched.key],
                    person_id=row[watched.person] if watched.person else None,
                    fields=fields,
                )

    def deleted(self, model: type[Model], before: list[changes.Row], number: int) -> None:
        watched, actor = registry.WATCHED[model._meta.label_lower], find_actor()
        label = model._meta.label_lower
        if actor is None:
            return
        if number > len(before):
            record(actor, AuditAction.DELETE, model=label, fields={ROWS: [number, None]})
            return
        for row in before:
            told = [name for name in _columns(model, watched, row) if watched.tells(_field(model, name).name)]
            record(
                actor,
                AuditAction.DELETE,
                model=label,
                object_id=row[watched.key],
                person_id=row[watched.person] if watched.person else None,
                fields={_field(model, n).name: [_as_json(row[n]), None] for n in told if row[n] not in (None, "")},
            )


def _columns(model: type[Model], watched: registry.Watched, names: Iterable[str]) -> dict[str, None]:
    """Return the columns of what is more than quiet, as keys in their order."""
    wanted = set(names)
    return {
        field.attname: None
        for field in model._meta.concrete_fields
        if {field.name, field.attname} & wanted and field.name not in watched.quiet and not field.primary_key
    }


def _field(model: type[Model], column: str) -> Field[Any, Any]:
    return next(field for field in model._meta.concrete_fields if field.attname == column)


def _person(model: type[Model], watched: registry.Watched, values: dict[str, Any]) -> int | None:
    """Return whose a new row is; where another row says it, that is one query."""
    if watched.person is None or "__" not in watched.person:
        return values[watched.person] if watched.person else None
    rows = model._base_manager.filter(pk=values["pk"]).values_list(watched.person, flat=True)
    found: int | None = rows.first()
    return found


def _as_json(value: Any) -> Any:
    """Return a value as JSON has it; what the database computes is not known here."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | dict):
        return value
    if isinstance(value, Model):
        return value.pk
    return None if hasattr(value, "resolve_expression") else str(value)[:LONGEST_TEXT]


def connect() -> None:
    """Observe all writes from now on; called once, when Django has loaded the apps."""
    changes.connect(Changes())
