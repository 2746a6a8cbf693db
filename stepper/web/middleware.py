"""Middleware of the project: API addresses without their slash, refusals as answers, the CSP."""

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from stepper.api.errors import API_PREFIX, refusal_response, refuse_for_now
from stepper.server.request_limits import REFUSAL

ADMIN_PREFIX = "/admin/"

# The admin's theme evaluates expressions in attributes (Alpine) and sets styles inline; only staff come here.
ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
}


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


class RefusalMiddleware(MiddlewareMixin):
    """Answers instead of faults where database or Redis are away, or somebody is over a limit: 503, 429, and when to
    come back; and requests that were refused before they came here: too large or slow a body, too many signing in."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        refusal = getattr(request, "refusal", None) or getattr(request, "scope", {}).get(REFUSAL)
        return None if refusal is None else refusal_response(request, refusal)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return refuse_for_now(request, error)
