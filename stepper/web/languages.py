"""In which language a request is answered, and the switch that chooses it."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.translation import get_language_from_request
from django.views.decorators.http import require_POST

from stepper.accounts import language
from stepper.api.errors import API_PREFIX, refusal_response, refuse_for_now
from stepper.errors import InvalidInput
from stepper.languages import for_admin
from stepper.web.confirmation import page_of_form
from stepper.web.middleware import ADMIN_PREFIX, find_refusal

COOKIE_AGE_S = 60 * 60 * 24 * 365


class LanguageMiddleware(LocaleMiddleware):
    """Answers in the language of the account, else of the cookie, else of the browser.

    A program that comes with a token says itself which language it wants (`BearerAuthentication` knows the account).
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:  # type: ignore[override]
        try:
            code = _find_language(request)
        except Exception as error:
            # Who is signed in cannot be read: whatever was asked for would fail in the same way, a while later.
            refusal = refuse_for_now(request, error)
            if refusal is None:
                raise
            return refusal
        translation.activate(for_admin(code) if request.path_info.startswith(ADMIN_PREFIX) else code)
        request.LANGUAGE_CODE = translation.get_language()
        return None


def _find_language(request: HttpRequest) -> str:
    has_token = request.path_info.startswith(API_PREFIX) and "Authorization" in request.headers
    # A request that is refused anyway costs no query.
    if not has_token and find_refusal(request) is None and request.user.is_authenticated:
        return request.user.offered_language
    return get_language_from_request(request)


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Store the language of the form for the account, or this browser, and show the page that the form was on."""
    code = request.POST.get("language", "")
    try:
        language.choose(request.user, code)
    except InvalidInput as error:
        return refusal_response(request, error)
    response = HttpResponseRedirect(page_of_form(request, request.POST.get("next", "")))
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=COOKIE_AGE_S,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response
