"""Answers of pages to requests that are over a limit: 429, with the time to come back in Retry-After."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from stepper.errors import DomainError, TooManyRequests


def over_limit(request: HttpRequest, error: TooManyRequests, fragment: str | None = None) -> HttpResponse:
    """Answer a request over a limit with a page, htmx with `fragment` (None: a toast, and nothing is swapped)."""
    if not request.htmx:  # type: ignore[attr-defined]
        return with_retry_after(render(request, "429.html", {"refusal": error}), error)
    if fragment is not None:
        return with_retry_after(HttpResponse(fragment), error)
    response = HttpResponse(render_to_string("drivers/toast.html", {"text": error.message, "kind": "error"}))
    response["HX-Reswap"] = "none"
    return with_retry_after(response, error)


def with_retry_after(response: HttpResponse, error: DomainError | None) -> HttpResponse:
    """Make the response a 429 with Retry-After where the error is a limit; leave it as it is for all others."""
    if isinstance(error, TooManyRequests):
        response.status_code = error.status
        response["Retry-After"] = str(error.retry_after_s)
    return response
