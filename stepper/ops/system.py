"""The state of the system, for those without Prometheus: what works, what waits, and the figures of all processes."""

from collections.abc import Sequence
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe

from realtime.models import SILENT_AFTER
from realtime.push import subscriptions
from stepper.mail import sending as mails
from stepper.monitoring.collecting import Backlogs, backlogs
from stepper.monitoring.processes import ProcessFigures, read_all, read_here, total
from stepper.ops.access import ops_page
from stepper.ops.sections import SYSTEM
from stepper.sms import sending as sms

# Beyond these something is wrong; as in deploy/prometheus/alerts.yml, without its patience.
LATE_S = 10.0
TASK_LATE_S = 300.0
ROLES = {
    "server": gettext_lazy("server"),
    "dispatcher": gettext_lazy("dispatcher"),
    "db_worker": gettext_lazy("mails, pushes, SMS"),
}


class Check(NamedTuple):
    """A part of the system. `state`: ok, failed, unused."""

    name: str
    state: str
    details: str

    @property
    def words(self) -> str:
        return {"ok": _("works"), "failed": _("does not work"), "unused": _("not in use")}[self.state]


class Figure(NamedTuple):
    """A row of the table of figures; a value None is not known."""

    name: str
    here: float
    everywhere: float


@require_safe
@ops_page(SYSTEM)
def show(request: HttpRequest) -> HttpResponse:
    """Show the state of the system; the page asks again every few seconds, which keeps nobody's session alive."""
    here, processes = read_here(), read_all()
    context = {
        "checks": _checks(backlogs.get(), is_redis_there=processes is not None),
        "figures": _figures(here, processes or [here]),
        "here": here,
        "processes": [
            {"name": one.name, "role": ROLES.get(one.role, one.role), "sockets": round(total([one], "stepper_sockets"))}
            for one in processes or [here]
        ],
        "has_others": bool(settings.REDIS_URL),
    }
    return render(request, "ops/system.html", context)


def _checks(found: Backlogs | None, *, is_redis_there: bool) -> list[Check]:
    if not settings.REDIS_URL:
        redis = Check(_("Redis"), "unused", _("One server process needs none."))
    else:
        redis = Check(_("Redis"), "ok" if is_redis_there else "failed", "")
    if found is None:
        return [Check(_("Database"), "failed", ""), redis]
    return [Check(_("Database"), "ok", ""), redis, _dispatcher(found), _outbox(found), *_queues(found)]


def _dispatcher(found: Backlogs) -> Check:
    if found.beat_age_s is None:
        return Check(_("Dispatcher"), "failed", _("None has ever reported."))
    is_silent = found.beat_age_s > SILENT_AFTER.total_seconds()
    details = _("Last reported %(reported)s ago.") % {"reported": _seconds(found.beat_age_s)}
    if found.lateness_s >= 1:
        details += " " + _("Its oldest work has been due for %(late)s.") % {"late": _seconds(found.lateness_s)}
    return Check(_("Dispatcher"), "failed" if is_silent or found.lateness_s > LATE_S else "ok", details)


def _outbox(found: Backlogs) -> Check:
    state = "failed" if found.outbox_age_s > LATE_S else "ok"
    return Check(_("Events"), state, _waiting(found.outbox, found.outbox_age_s))


def _queues(found: Backlogs) -> list[Check]:
    offered = {
        "mail": (_("Mails"), mails.is_offered()),
        "sms": (_("SMS"), sms.is_offered()),
        "push": (_("Pushes"), subscriptions.is_offered()),
    }
    checks = []
    for queue, (name, is_offered) in offered.items():
        number, age_s = found.tasks[queue]
        state = "failed" if age_s > TASK_LATE_S else "ok" if is_offered or number else "unused"
        checks.append(Check(name, state, _waiting(number, age_s) if state != "unused" else ""))
    return checks


def _waiting(number: int, age_s: float) -> str:
    """Say how many wait, and for how long the oldest does."""
    if not number:
        return _("Nothing waits.")
    said = ngettext("%(number)d waits", "%(number)d wait", number) % {"number": number}
    return _("%(number)s, the oldest for %(age)s.") % {"number": said, "age": _seconds(age_s)}


def _seconds(seconds: float) -> str:
    return (
        _("%(seconds)d s") % {"seconds": round(seconds)}
        if seconds < 120
        else _("%(minutes)d min") % {"minutes": round(seconds / 60)}
    )


def _figures(here: ProcessFigures, processes: Sequence[ProcessFigures]) -> list[Figure]:
    named: list[tuple[str, str, dict[str, str]]] = [
        (_("Open sockets"), "stepper_sockets", {}),
        (_("Frames received"), "stepper_frames_received_total", {}),
        (_("Frames sent"), "stepper_frames_sent_total", {}),
        (_("Searches"), "stepper_searches_total", {}),
        (_("Offers made"), "stepper_offers_made_total", {}),
        (_("Offers accepted"), "stepper_offers_total", {"outcome": "accepted"}),
        (_("Offers declined"), "stepper_offers_total", {"outcome": "declined"}),
        (_("Offers expired"), "stepper_offers_total", {"outcome": "expired"}),
        (_("Offers withdrawn"), "stepper_offers_total", {"outcome": "withdrawn"}),
        (_("Trips completed"), "stepper_trips_total", {"status": "completed"}),
        (_("Trips cancelled"), "stepper_trips_total", {"status": "cancelled"}),
        (_("Refusals"), "stepper_refusals_total", {}),
        (_("Mails sent"), "stepper_tasks_total", {"queue": "mail", "outcome": "sent"}),
        (_("SMS sent"), "stepper_tasks_total", {"queue": "sms", "outcome": "sent"}),
        (_("Pushes sent"), "stepper_tasks_total", {"queue": "push", "outcome": "sent"}),
        (_("Mailboxes that overflowed"), "stepper_mailbox_overflows_total", {}),
        (_("Waits for a database connection"), "stepper_database_pool_waits_total", {}),
        (_("Faults in the log"), "stepper_faults_total", {}),
    ]
    everything = list(processes)
    return [
        Figure(words, total([here], name, **labels), total(everything, name, **labels)) for words, name, labels in named
    ]
