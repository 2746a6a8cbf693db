"""The security log in the administration: searched and filtered by staff with its permission, changed by nobody."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from stepper.admin import searching, told_changes
from stepper.admin.base import COLOURS, HistoryAdmin, Label, format_instant
from stepper.models import SecurityEvent, SecurityEventCode, User
from stepper.security_changes import TUNED
from stepper.security_log import login_digest

_DANGERS = {
    SecurityEventCode.SIGN_IN_LOCKED,
    SecurityEventCode.TOKEN_REUSED,
    SecurityEventCode.RIGHTS_CHANGED,
    SecurityEventCode.ACCOUNT_DELETED,
}
_WARNINGS = {
    SecurityEventCode.SIGN_IN_FAILED,
    SecurityEventCode.SIGN_IN_REFUSED,
    SecurityEventCode.PERMISSION_REFUSED,
    SecurityEventCode.ACCOUNT_DEACTIVATED,
    SecurityEventCode.DATA_EXPORTED,
}
# Accounts that a search by name may find; more are no answer to "who was it".
ACCOUNTS_SEARCHED = 100


class EventFilter(admin.SimpleListFilter):
    """Filter by the known codes; `SELECT DISTINCT event` would read the whole log."""

    title = _("event")
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(SecurityEventCode.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[SecurityEvent]) -> QuerySet[SecurityEvent]:
        return queryset.filter(event=self.value()) if self.value() else queryset


@admin.register(SecurityEvent)
class SecurityEventAdmin(HistoryAdmin):
    list_display = [
        "at_shown",
        "event_shown",
        "subject_shown",
        "actor_shown",
        "address",
        "transport",
        "count",
        "details_shown",
    ]
    list_display_links = ["at_shown"]
    list_filter = [EventFilter, "transport", "at"]
    list_select_related = ["subject", "actor"]
    # `get_search_results` looks: names are of accounts, which a deleted one has not any more.
    search_fields = ["=address"]
    search_help_text = _("A network address, a login as it was typed, or number, name, e-mail or phone of an account")
    ordering = ["-id"]
    fields = [
        "at_shown",
        "event_shown",
        "event",
        "subject_shown",
        "actor_shown",
        "login_digest",
        "address",
        "transport",
        "count",
        "details_shown",
    ]
    readonly_fields = ["at_shown", "event_shown", "subject_shown", "actor_shown", "details_shown"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SecurityEvent], search_term: str
    ) -> tuple[QuerySet[SecurityEvent], bool]:
        """Find by address or digest in full, or by account: each has its index, and names are searched only once."""
        term = search_term.strip()
        if not term or "\x00" in term:
            return (queryset.none() if term else queryset), False
        named = User.objects.filter(searching.condition_of(User, searching.person(), term) or Q())
        users = list(named.order_by("pk").values_list("pk", flat=True)[:ACCOUNTS_SEARCHED])
        if term.isascii() and term.isdigit() and len(term) <= 18:
            users.append(int(term))
        found = Q(address=term) | Q(login_digest=login_digest(term)) | Q(subject__in=users) | Q(actor__in=users)
        return queryset.filter(found), False

    @display(description=_("time"), ordering="id")
    def at_shown(self, event: SecurityEvent) -> str:
        return format_instant(event.at)

    @display(description=_("event"), label=COLOURS)
    def event_shown(self, event: SecurityEvent) -> Label:
        colour = "danger" if event.event in _DANGERS else "warning" if event.event in _WARNINGS else "default"
        known = event.event in SecurityEventCode.values
        return Label(colour, SecurityEventCode(event.event).label if known else event.event)

    @display(description=_("account"))
    def subject_shown(self, event: SecurityEvent) -> str:
        if event.subject_id is None:
            return _("unknown login %(digest)s") % {"digest": event.login_digest[:8]} if event.login_digest else "–"
        return _account(event.subject, event.subject_id)

    @display(description=_("details"))
    def details_shown(self, event: SecurityEvent) -> str:
        """Write what was changed of settings, rules and accounts with the names that staff read."""
        if event.event == SecurityEventCode.SETTINGS_CHANGED:
            return told_changes.details_in_words(event.details, [apps.get_model(name) for name in TUNED])
        of = apps.get_model("drivers.Driver") if event.event == SecurityEventCode.DRIVER_DECIDED else User
        return told_changes.details_of(of, event.details) or "–"

    @display(description=_("actor"))
    def actor_shown(self, event: SecurityEvent) -> str:
        return _account(event.actor, event.actor_id) if event.actor_id is not None else "–"


def _account(user: User | None, user_id: int) -> str:
    return f"{user} ({user_id})" if user is not None else f"{_('deleted account')} ({user_id})"
