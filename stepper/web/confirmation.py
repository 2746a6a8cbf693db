"""The way to the page that asks for the password once more, and back."""

from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import escape_leading_slashes, url_has_allowed_host_and_scheme


def lead_to_confirmation(request: HttpRequest) -> HttpResponse:
    """Redirect to the form that asks for the password; it leads back to the page, or the form that was sent."""
    back = request.get_full_path() if request.method in ("GET", "HEAD") else page_of_form(request)
    return HttpResponseRedirect(f"{confirmation_url()}?{urlencode({'next': back})}")


def confirmation_url() -> str:
    return reverse("stepper:confirm")


def page_of_form(request: HttpRequest, named: str = "") -> str:
    """Return the page of ours that a form was sent from; what the browser says of other hosts is not believed.

    `named`: the page by the form itself, where the browser must not say it.
    """
    referrer = named or request.headers.get("Referer", "")
    if not is_ours(request, referrer):
        return resolve_home()
    parts = urlsplit(referrer)
    # Without its host a path that begins with two slashes would name another one.
    page = escape_leading_slashes(parts.path) + (f"?{parts.query}" if parts.query else "")
    return page if is_ours(request, page) else resolve_home()


def is_ours(request: HttpRequest, url: str) -> bool:
    """Say whether a redirect may lead there."""
    return url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())


def resolve_home() -> str:
    return reverse(settings.LOGIN_REDIRECT_URL)
