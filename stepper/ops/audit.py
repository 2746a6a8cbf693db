"""The audit log in the operations room: searched, read page by page, handed out as CSV. Reading it is logged."""

import csv
import datetime as dt
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from stepper.audit.context import actor_of
from stepper.audit.looks import looked_at, looked_at_list
from stepper.audit.writing import record
from stepper.db.keyset import PAGE
from stepper.db.transactions import run_in_thread
from stepper.models import AuditAction, AuditEntry
from stepper.ops.access import ops_page
from stepper.ops.audit_search import SearchForm, page_of
from stepper.ops.audit_words import Line
from stepper.ops.sections import AUDIT
from stepper.web.spreadsheets import BYTE_ORDER_MARK, delimiter, safe_cell

LABEL = AuditEntry._meta.label_lower
# Rows of a file that one statement reads.
EXPORTED_AT_ONCE = 1_000


@require_GET
@ops_page(AUDIT)
def show(request: HttpRequest) -> HttpResponseBase:
    """Show a page of the entries that were searched for, the newest first."""
    form = SearchForm(request.GET)
    found = page_of(form, request.GET.get("before", ""), PAGE)
    log_look(request, form)
    newest, older = request.GET.copy(), request.GET.copy()
    newest.pop("before", None)
    older["before"] = found.more
    context = {
        "form": form,
        "lines": [Line(entry, request.user) for entry in found.rows],
        "older": f"?{older.urlencode()}" if found.more else "",
        "newest": newest.urlencode(),
        "is_first": not request.GET.get("before"),
    }
    return render(request, "ops/audit.html", context, status=200 if form.is_valid() else 400)


def log_look(request: HttpRequest, form: SearchForm) -> None:
    """Log that staff read the log: of whom, where they searched for one person."""
    if not form.is_valid():
        return
    people = form.people
    if len(people) == 1:
        looked_at(request, people, LABEL)
    else:
        looked_at_list(request, LABEL)


@require_POST
@ops_page(AUDIT, confirmed=True)
def export(request: HttpRequest) -> HttpResponseBase:
    """Send the entries that were searched for as a file, the newest first. Each file is an entry of its own."""
    form = SearchForm(request.POST)
    actor = actor_of(request)
    if not form.is_valid() or actor is None:
        return render(request, "ops/audit.html", {"form": form, "lines": [], "is_first": True}, status=400)
    person_id = form.people[0] if len(form.people) == 1 else None
    record(actor, AuditAction.EXPORT, model=LABEL, person_id=person_id)
    # Under the server a file is written while it is sent; a synchronous caller wants a synchronous iterator.
    rows = _write_async(form) if isinstance(request, ASGIRequest) else _write(form)
    response = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="steppergo-audit-{timezone.localdate():%Y-%m-%d}.csv"'
    return response


async def _write_async(form: SearchForm) -> AsyncIterator[bytes]:
    yield _head()
    text, more = await run_in_thread(_write_page, form, "")
    yield text
    while more:
        text, more = await run_in_thread(_write_page, form, more)
        yield text


def _write(form: SearchForm) -> Iterator[bytes]:
    yield _head()
    text, more = _write_page(form, "")
    yield text
    while more:
        text, more = _write_page(form, more)
        yield text


def _head() -> bytes:
    names = (
        *(_("Number"), _("Time"), _("Action"), _("Who"), _("Who, number"), _("Network address"), _("By way of")),
        *(_("Person"), _("Person, number"), _("Row"), _("Row, number"), _("What")),
    )
    return BYTE_ORDER_MARK + _lines([names])


def _write_page(form: SearchForm, before: str) -> tuple[bytes, str]:
    """Write the next entries of a file, and return the cursor of those behind; empty: there are no more."""
    found = page_of(form, before, EXPORTED_AT_ONCE)
    zone = ZoneInfo(settings.TIME_ZONE)
    return _lines(_cells(Line(entry, None), entry.at.astimezone(zone)) for entry in found.rows), found.more


def _cells(line: Line, at: dt.datetime) -> list[Any]:
    entry = line.entry
    return [
        *(entry.pk, f"{at:%Y-%m-%d %H:%M:%S}", line.action, line.actor, entry.actor_id or "", entry.address, entry.via),
        *(line.person, entry.person_id or "", line.kind, entry.object_id, "; ".join(line.fields)),
    ]


def _lines(rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter(), quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    for row in rows:
        writer.writerow([safe_cell(str(cell)) if not isinstance(cell, int) else cell for cell in row])
    return text.getvalue().encode()
