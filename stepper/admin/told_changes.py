"""What the histories of the administration say of a change: fields from what to what, in the reader's language.

Django's log of the administration keeps names of fields only. Here it keeps values beside them where they name nobody:
numbers, dates, choices, yes or no, the keys of other rows, and texts of what staff tune. Of all other texts (names,
phones, plates, notes) and of secrets it keeps that they changed, and nothing that erasing a person would have to find.
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib.admin.models import LogEntry
from django.core.exceptions import FieldDoesNotExist
from django.db.models import (
    BooleanField,
    DateField,
    DateTimeField,
    Field,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
    TimeField,
)
from django.db.models.fields.json import JSONField
from django.utils import formats, timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import override

from stepper.admin.lookups import is_secret
from stepper.dates import NEVER, short_date

# Models whose texts are the service's, not a person's.
_TEXTS_TOLD = frozenset(
    {
        "stepper.servicesettings",
        "trips.dispatchrule",
        "trips.pickuparea",
        "trips.place",
        "trips.wish",
        "auth.group",
    }
)
# A key of an entry's part that Django does not read.
VALUES, ACTION = "values", "action"
_PLAIN = (BooleanField, IntegerField, FloatField, DateField, TimeField, ForeignKey)

Values = dict[str, list[Any] | None]


def told_values(model: type[Model], changed: Mapping[str, tuple[Any, Any]]) -> Values:
    """Return what an entry keeps of changed fields: [before, after] as JSON has them; None: only that it changed."""
    kept: Values = {}
    for name, (before, after) in changed.items():
        field = _field(model, name)
        if field is not None:
            kept[field.name] = [_as_json(before), _as_json(after)] if _may_tell(model, field) else None
    return kept


def changed_by_action(model: type[Model], before: Mapping[str, Any], after: Mapping[str, Any]) -> Values:
    """Return what an entry keeps of a row's columns before and after an action, without times and counters."""
    changed = {name: (value, after[name]) for name, value in before.items() if after.get(name, value) != value}
    shown = {
        name: values
        for name, values in changed.items()
        if (field := _field(model, name)) is not None
        and field.editable
        and not isinstance(field, DateTimeField | JSONField)
        and "version" not in name
    }
    return told_values(model, shown)


def action_entry(description: Any, values: Values) -> list[dict[str, Any]]:
    """Return the message of an action's entry: its words in English, which are translated when they are read."""
    with override("en"):
        return [{"changed": {}, ACTION: str(description), VALUES: values}]


def entry_in_words(entry: LogEntry, model: type[Model]) -> str:
    """Return what an entry of a row's history says, in the active language."""
    parts = entry.change_message and _parts(entry)
    if not parts:
        return str(entry.get_change_message())
    told = []
    for part in parts:
        values: Values = part.get(VALUES) or {}
        words = ", ".join(_field_in_words(model, name, pair) for name, pair in values.items())
        if ACTION in part:
            told.append(": ".join(one for one in (_(part[ACTION]), words) if one))
        elif words:
            told.append(words)
        else:
            told.append(str(LogEntry(change_message=dump([part])).get_change_message()))
    return "; ".join(told)


def details_in_words(details: str, models: Iterable[type[Model]]) -> str:
    """Return the details of a change, `fare_per_km: 50 → 60; tips_offered: True → False`, as staff read them.

    `models`: whose fields they may name; what names none of them stays as it is.
    """
    for model in models:
        start, colon, rest = details.partition(": ")
        name = str(model._meta.model_name)
        if colon and (start == name or start.startswith(f"{name} ")):
            number = start.removeprefix(name)
            return f"{model._meta.verbose_name}{number}: {details_of(model, rest)}"
    return details


def details_of(model: type[Model], details: str) -> str:
    """Return details that name fields of a model, as staff read them."""
    names = "|".join(sorted((field.attname for field in model._meta.concrete_fields), key=len, reverse=True))
    parts = re.split(rf"(?:^|; )({names}): ", details)
    if len(parts) < 3:
        return details
    told = [parts[0]] if parts[0] else []
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        before, arrow, after = text.partition(" → ")
        told.append(_field_in_words(model, name, [before, after]) if arrow else f"{name}: {text}")
    return "; ".join(told)


def _field(model: type[Model], name: str) -> Field[Any, Any] | None:
    """Return the field of a name or a column; None: a field of the form alone, or many rows."""
    for field in model._meta.concrete_fields:
        if name in (field.name, field.attname):
            return field
    try:
        found: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return found if found.many_to_many else None


def _may_tell(model: type[Model], field: Field[Any, Any]) -> bool:
    if is_secret(field.name) or field.many_to_many:
        return False
    return bool(field.choices) or isinstance(field, _PLAIN) or model._meta.label_lower in _TEXTS_TOLD


def _as_json(value: Any) -> Any:
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _field_in_words(model: type[Model], name: str, pair: list[Any] | None) -> str:
    field = _field(model, name)
    if field is None:
        return name
    label = str(getattr(field, "verbose_name", name))
    if pair is None:
        return label
    before, after = (value_in_words(field, value) for value in pair)
    return f"{label}: {before} → {after}"


def value_in_words(field: Field[Any, Any], value: Any) -> str:
    """Write a value of a field as it was kept, which may be its text, and that cut off: then it is written as it is."""
    try:
        return _value_in_words(field, value)
    except (ValueError, InvalidOperation):
        return str(value)


def _value_in_words(field: Field[Any, Any], value: Any) -> str:
    """Raises ValueError, InvalidOperation: it is no value of the field."""
    if value is None or value in ("", "–", "None"):
        return "–"
    if field.choices:
        # With the reason that the security log has behind it: `suspended (complaints)`.
        choice, space, reason = str(value).partition(" ")
        return str({str(key): words for key, words in field.flatchoices}.get(choice, choice)) + space + reason
    if isinstance(field, BooleanField):
        return _("yes") if str(value) == "True" else _("no")
    if isinstance(field, ForeignKey):
        row = field.related_model._base_manager.filter(pk=value).first()
        return f"#{value}" if row is None else str(row)
    if isinstance(field, DateTimeField):
        at = parse_datetime(str(value))
        return f"{short_date(timezone.localtime(at), year=True)} {timezone.localtime(at):%H:%M}" if at else str(value)
    if isinstance(field, DateField):
        date = parse_date(str(value))
        if date == NEVER:
            return _("not valid")
        return short_date(date, year=True) if date else str(value)
    if isinstance(field, IntegerField | FloatField):
        return str(formats.localize(Decimal(str(value)), use_l10n=True))
    return str(value)


def _parts(entry: LogEntry) -> list[dict[str, Any]] | None:
    """Return the parts of an entry that keeps values or an action; None: Django's own words say all."""
    if not entry.change_message.startswith("["):
        return None
    try:
        parts: list[dict[str, Any]] = json.loads(entry.change_message)
    except ValueError:
        return None
    return parts if any(VALUES in part or ACTION in part for part in parts) else None


def dump(parts: list[dict[str, Any]]) -> str:
    return json.dumps(parts)
