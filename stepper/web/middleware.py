"""Middleware of the project: REST over TLS only, without its slash, refusals, CSP, both logs, who was seen."""

from collections.abc import Callable

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from stepper import security_log
from stepper.accounts import sessions
from stepper.accounts.confirmation import ConfirmationRequired, NothingToConfirmWith
from stepper.api.errors import API_PREFIX, refusal_response, refuse_for_now
from stepper.audit import context as audit
from stepper.errors import HTTPS_REQUIRED, DomainError, NotPermitted
from stepper.models import SecurityEventCode
from stepper.server.request_limits import REFUSAL
from stepper.web.confirmation import lead_to_confirmation

ADMIN_PREFIX, OPS_PREFIX = "/admin/", "/ops/"

# The admin's theme evaluates expressions in attributes (Alpine) and sets styles inline; only staff come here.
ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
}


class PlainApiMiddleware(MiddlewareMixin):
    """Refuse REST over plain HTTP where HTTPS is on: a redirect would hide that a token was sent unencrypted."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if request.path_info.startswith(API_PREFIX) and settings.HTTPS and not request.is_secure():
            return refusal_response(request, NotPermitted("https.required", HTTPS_REQUIRED))
        return None


class ApiTrailingSlashMiddleware(MiddlewareMixin):
    """Remove the slash at the end of API paths before they are resolved, so that both forms reach one route.

    A redirect (`APPEND_SLASH`) would lose the body of a PUT or POST.
    """

    def process_request(self, request: HttpRequest) -> None:
        path = request.path_info
        if path.startswith(API_PREFIX) and path.endswith("/") and path != API_PREFIX:
            request.path_info = path[:-1]
            request.path = request.path.removesuffix("/")


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """The strict policy of the settings on every page, a looser one in the admin."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith(ADMIN_PREFIX) and not report_only:
            parts.replace = {**ADMIN_POLICY, **(parts.replace or {})}
        return parts


class LastSeenMiddleware(MiddlewareMixin):
    """Notes that a session is in use, where a request has read it; most requests cost nothing."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        session = request.session
        # Read by whoever wanted to know the user. A cookie that nobody has looked at says nothing, and costs nothing.
        if session.accessed and session.session_key and SESSION_KEY in session:
            address, user_agent = request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_USER_AGENT", "")
            sessions.mark_seen(session, address=address, user_agent=user_agent)
        return response


class RefusalMiddleware(MiddlewareMixin):
    """Answers instead of faults where database or Redis are away, or somebody is over a limit: 503, 429, and when to
    come back; and requests that were refused before they came here: too large or slow a body, too many signing in.
    What needs the user's password once more leads to the page that asks for it."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        refusal = find_refusal(request)
        return None if refusal is None else refusal_response(request, refusal)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, ConfirmationRequired | NothingToConfirmWith):
            return lead_to_confirmation(request)
        return refuse_for_now(request, error)


def find_refusal(request: HttpRequest) -> DomainError | None:
    """Return why a request was refused before it came to the application; None: it was not."""
    refusal: DomainError | None = getattr(request, "refusal", None) or getattr(request, "scope", {}).get(REFUSAL)
    return refusal


class SecurityLogMiddleware:
    """Writes the security events of a request when it has ended.

    A page that was refused is one: in the administration any 403; in the operations room, whose forms answer what a
    verb refuses by its status, what a view denied.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with security_log.collect(request):
            response = self._get_response(request)
            if response.status_code == 403 and _is_page_of_staff(request):
                security_log.count(SecurityEventCode.PERMISSION_REFUSED, details=request.path_info)
            return response

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        if isinstance(error, PermissionDenied):
            request.is_denied = True  # type: ignore[attr-defined]


def _is_page_of_staff(request: HttpRequest) -> bool:
    """Say whether a 403 refused a page of staff."""
    if request.path_info.startswith(OPS_PREFIX):
        return getattr(request, "is_denied", False)
    return request.path_info.startswith(ADMIN_PREFIX)


class AuditMiddleware:
    """Attributes what a request changes to the member of staff behind it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with audit.in_request(request):
            return self._get_response(request)
