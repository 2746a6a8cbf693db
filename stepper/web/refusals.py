"""What pages say of a refusal: at the fields of a form; of one for now by a 429 or 503 with Retry-After.

And Django's own error pages (`handler400` and so on), which look for a CSRF token in the body. A body that cannot be
read would make a fault of ours of them, so they leave it alone: `CsrfViewMiddleware` has read the cookie by then.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views import defaults

from stepper.accounts.verified_phones import PhoneUnverified
from stepper.errors import DomainError, TooManyRequests, Unavailable
from stepper.monitoring import figures
from stepper.staff_words import ASKS_STAFF


def add_refusal(form: BaseForm, error: DomainError, names: Mapping[str, str] | None = None) -> None:
    """Add what a verb refused to the fields that it names, else to the form as a whole.

    `names`: the verb's names of fields -> the form's, where they differ.
    """
    figures.count_refusal(error)
    for name, reasons in error.fields.items():
        field = (names or {}).get(name, name)
        place = field if field in form.fields else None
        form.add_error(place, [ValidationError(str(reason), code=_code_of(error)) for reason in reasons])
    if not error.fields:
        form.add_error(None, ValidationError(_with_way_out(error), code=_code_of(error)))


def _code_of(error: DomainError) -> str | None:
    """Return the code by which the form's errors are followed by the contact of staff (`form_errors.html`)."""
    return ASKS_STAFF if error.contact else None


def tell(request: HttpRequest, error: DomainError) -> None:
    """Say what a verb refused in a message on the next page."""
    figures.count_refusal(error)
    messages.error(request, error.as_text)


def _with_way_out(error: DomainError) -> str:
    """Return what is said of a refusal, for people; with a link where another page is what it needs."""
    if isinstance(error, PhoneUnverified):
        link = reverse("stepper:phone-confirm")
        return format_html('{} <a class="link" href="{}">{}</a>', error.message, link, _("Confirm the number"))
    return str(error.message)


def over_limit(request: HttpRequest, error: TooManyRequests, fragment: str | None = None) -> HttpResponse:
    """Answer a request over a limit with a page, htmx with `fragment` (None: a toast, and nothing is swapped)."""
    if not request.htmx:  # type: ignore[attr-defined]
        return with_retry_after(render(request, "429.html", {"refusal": error}), error)
    if fragment is not None:
        return with_retry_after(HttpResponse(fragment), error)
    response = HttpResponse(render_to_string("drivers/toast.html", {"text": error.as_text, "kind": "error"}))
    response["HX-Reswap"] = "none"
    return with_retry_after(response, error)


def with_retry_after(response: HttpResponse, error: DomainError | None) -> HttpResponse:
    """Make the response a 429 or 503 with Retry-After where the same is not refused later; else leave it as it is."""
    if error is not None:
        figures.count_refusal(error)
    if isinstance(error, TooManyRequests | Unavailable):
        response.status_code = error.status
        response["Retry-After"] = str(error.retry_after_s)
    return response


def _without_body(page: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(page)
    def view(request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        request.csrf_processing_done = True  # type: ignore[attr-defined]
        return page(request, *args, **options)

    return view


bad_request = _without_body(defaults.bad_request)
permission_denied = _without_body(defaults.permission_denied)
page_not_found = _without_body(defaults.page_not_found)
server_error = _without_body(defaults.server_error)
