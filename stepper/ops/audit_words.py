"""What an entry of the audit log says, in words of the active language. Asks nothing of the database."""

from functools import cached_property
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ForeignKey, Model
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stepper.admin import told_changes
from stepper.audit.registry import SHOWN, WATCHED
from stepper.audit.writing import ROWS
from stepper.dates import short_date
from stepper.models import AuditAction, AuditEntry, User


def kinds() -> list[tuple[str, str]]:
    """Return the labels of models that entries are about, with their names, by name."""
    labels = {*WATCHED, *SHOWN, AuditEntry._meta.label_lower}
    return sorted(((label, name_of(label)) for label in labels), key=lambda pair: pair[1])


# Models whose own names are those of their library, untranslated, or of a table between two others.
_NAMES = {
    "auth.group_permissions": gettext_lazy("Permissions of a group"),
    "stepper.user_groups": gettext_lazy("Groups of an account"),
    "stepper.user_user_permissions": gettext_lazy("Permissions of an account"),
    "mfa.authenticator": gettext_lazy("Second step of the sign-in"),
}

# By way of what staff did it: the first part of the address' name.
_WAYS = {"ops": gettext_lazy("Operations room"), "admin": gettext_lazy("Administration")}
# Fields whose names are for programmers.
_FIELDS = {"token_digest": gettext_lazy("key of the link")}


def name_of(label: str) -> str:
    if label in _NAMES:
        return str(_NAMES[label])
    model = _model(label)
    return str(capfirst(model._meta.verbose_name)) if model is not None else label


def _model(label: str) -> type[Model] | None:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


class Line:
    """An entry as the page shows it. `reader` None: for a file, without links."""

    def __init__(self, entry: AuditEntry, reader: User | Any | None) -> None:
        self.entry = entry
        self._reader = reader

    @property
    def at(self) -> str:
        """The instant to the second, in the service's zone."""
        local = timezone.localtime(self.entry.at)
        return f"{short_date(local, year=True)} {local:%H:%M:%S}"

    @property
    def action(self) -> str:
        known = self.entry.action in AuditAction.values
        return str(AuditAction(self.entry.action).label) if known else self.entry.action

    @property
    def actor(self) -> str:
        return _("the system") if self.entry.actor_id is None else _account(self.entry.actor, self.entry.actor_id)

    @property
    def person(self) -> str:
        return "" if self.entry.person_id is None else _account(self.entry.person, self.entry.person_id)

    @property
    def via(self) -> str:
        """By way of what it was done, in words where there are any."""
        way = self.entry.via.partition(":")[0]
        return str(_WAYS.get(way, self.entry.via))

    @property
    def kind(self) -> str:
        return name_of(self.entry.model) if self.entry.model else ""

    @cached_property
    def url(self) -> str:
        """The page of the row in the administration; empty: there is none for this reader."""
        model = _model(self.entry.model) if self.entry.object_id else None
        if model is None or self._reader is None or model not in admin.site._registry:
            return ""
        app, name = model._meta.app_label, str(model._meta.model_name)
        if not self._reader.has_perm(f"{app}.view_{name}"):
            return ""
        return reverse(f"admin:{app}_{name}_change", args=[self.entry.object_id])

    @property
    def fields(self) -> list[str]:
        model = _model(self.entry.model)
        return [_field_in_words(model, name, pair) for name, pair in self.entry.fields.items()]


def _account(user: User | None, user_id: int) -> str:
    return f"{user} (#{user_id})" if user is not None else f"{_('deleted account')} (#{user_id})"


def _field_in_words(model: type[Model] | None, name: str, pair: list[Any] | None) -> str:
    if name == ROWS and pair is not None:
        return _("rows: %(number)s") % {"number": next(value for value in pair if value is not None)}
    field = _field(model, name)
    label = str(_FIELDS[name] if name in _FIELDS else getattr(field, "verbose_name", name))
    if pair is None:
        return label
    before, after = (_value_in_words(field, value) for value in pair)
    return f"{label}: {before} → {after}"


def _field(model: type[Model] | None, name: str) -> Field[Any, Any] | None:
    try:
        found: Any = model._meta.get_field(name) if model is not None else None
    except FieldDoesNotExist:
        return None
    return found


def _value_in_words(field: Field[Any, Any] | None, value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(field, ForeignKey):
        # By its number: names would be a query each.
        return f"#{value}"
    return str(value) if field is None else told_changes.value_in_words(field, value)
