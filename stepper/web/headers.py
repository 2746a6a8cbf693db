"""Headers that every response carries, whoever made it: what browsers may do with it, and that nobody keeps it.

Django's own middleware sets some of them, but not where it refuses a request itself (a host that is not ours). This one
is outside of all others. What the servers answer without the application is in stepper/server/.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from stepper.web.static_files import StaticFileResponse

# Pages ask for the position, of drivers and of who books; the dashboard keeps the screen on while online; signing in
# uses passkeys. What browsers would allow beside that is off (sound after a touch is allowed without it); not named are
# features that not every Chromium knows, as it would write a warning about each page.
_ON = ("geolocation", "publickey-credentials-get", "screen-wake-lock")
_OFF = (
    *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media"),
    *("fullscreen", "gamepad", "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone"),
    *("midi", "otp-credentials", "payment", "picture-in-picture"),
    *("serial", "storage-access", "usb", "window-management", "xr-spatial-tracking"),
)
PERMISSIONS_POLICY = ", ".join([*(f"{name}=(self)" for name in _ON), *(f"{name}=()" for name in _OFF)])

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
    "Permissions-Policy": PERMISSIONS_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# What rules a document. They would be a third of what a first visit loads: a page has forty files, a kilobyte each.
_OF_DOCUMENTS = ("Content-Security-Policy", "Permissions-Policy", "X-Frame-Options", "Cross-Origin-Opener-Policy")
# Static files that a browser shows as one when their address is opened.
_DOCUMENT_TYPES = ("text/html", "image/svg", "application/xhtml", "text/xml", "application/xml", "application/pdf")
# Of errors that are answered before the content security policy of pages is set.
ERROR_POLICY = "default-src 'none'; frame-ancestors 'none'"
PERSONAL_PREFIXES = ("/accounts/", "/admin/", "/api/")


class SecurityHeadersMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if isinstance(response, StaticFileResponse) and not _is_document(response):
            for name in _OF_DOCUMENTS:
                response.headers.pop(name, None)
        if response.status_code >= 400:
            response.headers.setdefault("Content-Security-Policy", ERROR_POLICY)
        if _is_personal(request, response) and "no-store" not in response.headers.get("Cache-Control", ""):
            # After signing out, "back" must not show it, nor may the next person at this device find it.
            response.headers["Cache-Control"] = "no-store"
        return response


def _is_document(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith(_DOCUMENT_TYPES)


def _is_personal(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Say whether a response may be about somebody: whoever signs in, is signed in, or is given a cookie."""
    if isinstance(response, StaticFileResponse):
        return False
    return (
        request.path_info.startswith(PERSONAL_PREFIXES)
        or settings.SESSION_COOKIE_NAME in request.COOKIES
        or "Authorization" in request.headers
        or bool(response.cookies)
    )
