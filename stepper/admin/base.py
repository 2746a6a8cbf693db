"""What the admin pages of all apps share: view-only histories, saves that write only what was edited, and actions.

An action calls one domain verb per row, from the list (over the rows chosen) and from the row's own page. Each row
is a transaction of its own, so a refusal of one leaves the others done; the outcome is reported in words. A page's
action is a link, so it leads to a form that says what will happen and posts; so does a list's action that destroys
something or asks for something.
"""

import contextlib
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.db.models import ForeignKey, IntegerField, ManyToManyField, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin, TabularInline
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action
from unfold.enums import ActionVariant

from stepper.admin import told_changes
from stepper.admin.choosing import SearchSelect, SearchSelectMultiple
from stepper.admin.large_lists import ListsLargeTables
from stepper.admin.looks import LogsLooks
from stepper.admin.lookups import is_offered
from stepper.admin.searching import KEY_DIGITS
from stepper.admin.shown_values import ComparesWithShown
from stepper.admin.warned import WarnedForm
from stepper.audit.looks import looked_at_row
from stepper.dates import short_date
from stepper.db.transactions import Stale
from stepper.errors import DomainError

Text = str | Promise

# For `display(label=…)`: the theme's names of colours.
COLOURS = {name: name for name in ("default", "info", "primary", "success", "warning", "danger")}

# Rows one list action may change: each is a transaction, and the page waits for all of them.
ROWS_AT_ONCE = 200
REFUSALS_SHOWN = 10


def format_instant(instant: dt.datetime | None) -> str:
    """Write an instant as `23 Nov 04:25:10` in the service's zone: histories are read by the second."""
    if instant is None:
        return "–"
    local = timezone.localtime(instant)
    return f"{short_date(local)} {local:%H:%M:%S}"


class Label(NamedTuple):
    """A coloured word, in a list with `display(label=COLOURS)` and on a page."""

    colour: str
    text: Text

    def __html__(self) -> str:
        return render_to_string("unfold/helpers/label.html", {"type": self.colour, "text": self.text})


def _can_be_key(field: Any, text: str) -> bool:
    """Return whether the database can compare a key with a text from a URL: no NUL, no number out of range.

    Django checks the range of a model's own integers, but not of a foreign key.
    """
    while field.is_relation:
        field = field.target_field
    return "\x00" not in text and not (isinstance(field, IntegerField) and len(text) > KEY_DIGITS)


def _require_utc(text: str) -> None:
    """Raise OverflowError for an instant whose time in UTC is before the year 1 or after 9999."""
    with contextlib.suppress(ValueError):
        instant = parse_datetime(text)
        if instant is not None and instant.tzinfo is not None:
            instant.astimezone(dt.UTC)


class StaffAdmin(LogsLooks, ListsLargeTables, ModelAdmin):
    """Base of every page of the admin."""

    list_per_page = 50
    warn_unsaved_form = True
    # Lookups by which links of other pages filter this list, beside its own filters.
    linked_by: Sequence[str] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse to filter by what no page of ours offers; Django's own rule allows every column."""
        filters = self.get_list_filter(request)
        return is_offered(lookup, filters=filters, date_hierarchy=self.date_hierarchy, links=self.linked_by)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list that the address asks for.

        Raises:
            IncorrectLookupParameters: also for times that no clock shows, which cannot be written in another zone
        """
        years = [str(value) for name, value in request.GET.items() if name.endswith("__year")]
        if any(year.isdecimal() and not 1 < int(year) < dt.MAXYEAR for year in years):
            raise IncorrectLookupParameters
        try:
            # PostgreSQL would take such an instant, SQLite's driver cannot write it: both answer alike.
            for text in map(str, request.GET.values()):
                _require_utc(text)
            return super().get_changelist_instance(request)
        except OverflowError as error:
            raise IncorrectLookupParameters from error

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of an address; None also where no row can have such a key, which a database refuses."""
        field = self.opts.pk if from_field is None else self.opts.get_field(from_field)
        return super().get_object(request, object_id, from_field) if _can_be_key(field, object_id) else None

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", SearchSelect(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: ManyToManyField, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", SearchSelectMultiple(db_field, self.admin_site))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        """Write only what was edited: a whole row would put back what others changed since the page was opened."""
        if not change:
            obj.save()
            return
        edited = self.edited_columns(obj, form)
        if edited:
            obj.save(update_fields=edited)

    def edited_columns(self, obj: Any, form: forms.ModelForm) -> list[str]:
        """Name the columns to write of what was changed in the form."""
        columns = {field.name for field in obj._meta.concrete_fields}
        return [name for name in form.changed_data if name in columns]

    def construct_change_message(
        self, request: HttpRequest, form: forms.Form, formsets: Any, add: bool = False
    ) -> list[dict[str, Any]]:
        """Return what the row's history keeps of a save: names of fields, and from what to what (told_changes)."""
        message: list[dict[str, Any]] = super().construct_change_message(request, form, formsets, add)
        if not add and form.changed_data:
            changed = {name: (form.initial.get(name), form.cleaned_data.get(name)) for name in form.changed_data}
            for part in message:
                if "name" not in part.get("changed", {"name": ""}):
                    part[told_changes.VALUES] = told_changes.told_values(self.model, changed)
        return message

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().history_view(request, object_id, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data:
            for entry in response.context_data["action_list"]:
                entry.change_message = told_changes.entry_in_words(entry, self.model)
        return response

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form's class; a page of a row keeps what it shows, to know what was changed on it."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (ComparesWithShown, form), {}) if change else form

    def actions_for(self, obj: Any) -> set[str] | None:
        """Name the actions that make sense for a row now, None: all. It only hides; the verbs decide."""
        return None

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        actions: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        if not actions or type(self).actions_for is StaffAdmin.actions_for:
            return actions
        row = self.get_object(request, unquote(str(object_id)))
        sensible = self.actions_for(row) if row else None
        if sensible is None:
            return actions
        return [one for one in actions if one.method.original_function_name in sensible]


class ViewOnly:
    """Mixin: a history; written by the code, never by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HistoryAdmin(ViewOnly, StaffAdmin):
    pass


class HistoryInline(ViewOnly, TabularInline):
    """Rows of a history on the page of what they belong to."""

    extra = 0
    tab = True
    per_page = 25
    hide_title = True


Verb = Callable[..., object]


@dataclass(frozen=True, kw_only=True)
class RowPage:
    """What asks for an action on the page of one row, where it is more than a form; `context`: what it shows more."""

    template: str = "admin/staff_action.html"
    context: Callable[[Any, HttpRequest, Any], dict[str, Any]] | None = None


_FORM_ALONE = RowPage()


@dataclass(frozen=True, kw_only=True)
class _StaffAction:
    """What `staff_action` was given, and how it runs from a row's page and from a list."""

    verb: Verb
    description: Text
    done: Text
    effect: Text | Callable[[list[Any]], Text]
    variant: ActionVariant
    form: type[forms.Form]
    warning: Callable[[Any], Text | None]
    page: "RowPage"

    @property
    def _asks(self) -> bool:
        return self.form is not forms.Form

    @property
    def _is_danger(self) -> bool:
        return self.variant is ActionVariant.DANGER

    def run_from_page(self, admin: StaffAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the form of one row and, once it is posted, call the verb. Raises Http404."""
        row = admin.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        back = reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_change", args=[row.pk])
        bound = self._form_for([row])(request.POST if request.method == "POST" else None)
        if bound.is_valid():
            refused = self._call_verb(admin, request, rows=[row], answers=bound.cleaned_data)
            # What was chosen was refused: choose again, rather than find the form a second time.
            if not (refused and self._asks):
                return HttpResponseRedirect(back)
        looked_at_row(request, row)
        return self._show_form(admin, request, rows=[row], bound=bound, back=back, name=None, page=self.page)

    def run_from_list(self, admin: StaffAdmin, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        """Call the verb for the chosen rows, after a form if it needs input or a confirmation.

        None: too many rows were chosen, show the list again.
        """
        rows = list(chosen[: ROWS_AT_ONCE + 1])
        if len(rows) > ROWS_AT_ONCE:
            messages.error(request, _("Choose at most %(count)d at once.") % {"count": ROWS_AT_ONCE})
            return None
        back = request.get_full_path()
        form = self._form_for(rows)
        needs_form = self._asks or self._is_danger or issubclass(form, WarnedForm)
        bound = form(request.POST if "confirmed" in request.POST or not needs_form else None)
        if bound.is_valid():
            self._call_verb(admin, request, rows=rows, answers=bound.cleaned_data)
            return HttpResponseRedirect(back)
        return self._show_form(admin, request, rows=rows, bound=bound, back=back, name=self.verb.__name__)

    def _form_for(self, rows: list[Any]) -> type[forms.Form]:
        """Return the form that asks for what the verb needs, and to confirm where there is something to warn of."""
        warned = any(self.warning(row) for row in rows)
        return type("WarnedForm", (WarnedForm, self.form), {}) if warned else self.form

    def _show_form(
        self,
        admin: StaffAdmin,
        request: HttpRequest,
        *,
        rows: list[Any],
        bound: forms.Form,
        back: str,
        name: str | None,
        page: "RowPage | None" = None,
    ) -> HttpResponse:
        """Say what will happen to which rows, and ask for what the form asks.

        `name`: what the list calls the action; None: it is asked for on a row's page, as `page` shows it.
        """
        page = page or RowPage()
        context = {
            **admin.admin_site.each_context(request),
            "opts": admin.opts,
            "title": self.description,
            "subtitle": None,
            "rows": rows,
            "effect": self.effect(rows) if callable(self.effect) else self.effect,
            "warnings": [(row, words) for row in rows if (words := self.warning(row))],
            "form": bound,
            "media": admin.media + bound.media,
            "back": back,
            "danger": self._is_danger,
            "action": name,
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            **(page.context(admin, request, rows[0]) if page.context else {}),
        }
        return TemplateResponse(request, page.template, context)

    def _call_verb(self, admin: StaffAdmin, request: HttpRequest, *, rows: list[Any], answers: dict[str, Any]) -> int:
        """Call the verb for each row and report to the user; return how many were refused.

        A verb that is repeated changes nothing: such rows are counted apart.
        """
        refusals, changed = [], 0
        for row in rows:
            before = _stored(row)
            try:
                said = self.verb(admin, row.pk, request.user, **answers)
            except DomainError as error:
                refusals.append(f"{row}: {' '.join(error.reasons)}")
            except Stale:
                refusals.append(f"{row}: {_('it changed at this moment; try again.')}")
            else:
                after = _stored(row)
                if after != before:
                    changed += 1
                    values = told_changes.changed_by_action(admin.model, before or {}, after or {})
                    admin.log_change(request, row, told_changes.action_entry(self.description, values))
                if isinstance(said, str):
                    messages.info(request, ": ".join((str(row), said)))
        unchanged = len(rows) - len(refusals) - changed
        _report_outcome(request, changed, unchanged=unchanged, refusals=refusals, done=self.done)
        return len(refusals)


def _stored(row: Any) -> dict[str, Any] | None:
    """Return the columns of a row as they are stored now; None: it is gone."""
    return type(row)._base_manager.filter(pk=row.pk).values().first()


def _report_outcome(request: HttpRequest, changed: int, *, unchanged: int, refusals: list[str], done: Text) -> None:
    """Tell the user how many rows were changed, how many needed no change, and the first reasons of the others."""
    parts = []
    if changed:
        parts.append(f"{changed} {done}")
    if unchanged:
        parts.append(_("%(count)d as before: nothing was to be changed") % {"count": unchanged})
    if refusals:
        shown = "; ".join(refusals[:REFUSALS_SHOWN])
        more = len(refusals) - REFUSALS_SHOWN
        rest = " " + ngettext("and %(count)d more", "and %(count)d more", more) % {"count": more} if more > 0 else ""
        parts.append(_("%(count)d refused: %(reasons)s") % {"count": len(refusals), "reasons": shown} + rest)
    level = messages.SUCCESS if changed else messages.INFO
    if refusals:
        level = messages.WARNING if changed else messages.ERROR
    if parts:
        messages.add_message(request, level, ", ".join(parts))


def staff_action(
    description: Text,
    *,
    done: Text,
    effect: Text | Callable[[list[Any]], Text],
    icon: str,
    variant: ActionVariant = ActionVariant.DEFAULT,
    form: type[forms.Form] = forms.Form,
    permission: str = "change",
    guard: Callable[[HttpRequest], None] = lambda request: None,
    warning: Callable[[Any], Text | None] = lambda row: None,
    page: RowPage = _FORM_ALONE,
    mark: str = "",
) -> Callable[[Verb], Any]:
    """Make an admin action, for `actions` and `actions_detail` alike, of a method that calls a domain verb.

    The method gets the row's id, the member of staff and what `form` (without fields: nothing) asked for. `done` is
    the past participle for the report ("2 cancelled"), `effect` the sentence over the confirmation, or a function of
    the rows that returns it. A text that the method returns is said beside the report. `permission`
    names the `has_<permission>_permission` that is needed. `guard` is called before anything is shown or done,
    and raises what refuses it. A danger is confirmed in a list, too. `warning` says of a row what speaks against it,
    None: nothing; then its words are shown, and the method gets `although=True` once somebody has confirmed them.
    `page`: what a row's page shows instead of the form alone; `mark`: the action's `data-testid`.
    """

    def decorate(verb: Verb) -> Any:
        asked = _StaffAction(
            verb=verb,
            description=description,
            done=done,
            effect=effect,
            variant=variant,
            form=form,
            warning=warning,
            page=page,
        )

        attrs = {"data-testid": mark} if mark else None

        @action(description=description, icon=icon, variant=variant, permissions=[permission], attrs=attrs)
        @wraps(verb)
        def run(
            self: StaffAdmin, request: HttpRequest, queryset: QuerySet[Any] | None = None, object_id: str | None = None
        ) -> HttpResponse | None:
            guard(request)
            if queryset is None:
                return asked.run_from_page(self, request, str(object_id))
            return asked.run_from_list(self, request, queryset)

        return run

    return decorate
