"""The language that somebody chose for pages, mails and notifications."""

from typing import Any

from django.conf import settings
from django.contrib.auth import user_logged_in, user_logged_out
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from stepper import limits
from stepper.errors import InvalidInput
from stepper.languages import for_admin
from stepper.models import User


def connect() -> None:
    """Say that somebody is signed in or out in the language of the page that is shown next."""
    user_logged_in.connect(_on_signed_in, dispatch_uid="stepper.accounts.language.in")
    user_logged_out.connect(_on_signed_out, dispatch_uid="stepper.accounts.language.out")


# Only in a request whose language was chosen (stepper.web.languages): elsewhere nobody would choose anew.


def _on_signed_in(request: HttpRequest | None, user: User, **_more: Any) -> None:
    if request is not None and hasattr(request, "LANGUAGE_CODE"):
        leads_to_admin = request.POST.get("next", "").startswith(reverse("admin:index"))
        translation.activate(for_admin(user.offered_language) if leads_to_admin else user.offered_language)


def _on_signed_out(request: HttpRequest | None, **_more: Any) -> None:
    if request is not None and hasattr(request, "LANGUAGE_CODE"):
        activate_guests(request)


def activate_guests(request: HttpRequest) -> None:
    """Answer in the language that the cookie, else the browser, asks for."""
    translation.activate(translation.get_language_from_request(request))


def choose(user: User | AnonymousUser, code: str) -> None:
    """Store the language of an account; of somebody who is not signed in nothing is stored.

    Raises:
        InvalidInput: it is not offered
        TooManyRequests: more than `light_per_min`
    """
    if code not in dict(settings.LANGUAGES):
        raise InvalidInput("language.not_offered", _("This language is not offered."))
    if isinstance(user, User):
        _store(user.pk, code)


@limits.counted("language", "light_per_min")
def _store(user_id: int, code: str) -> None:
    User.objects.filter(pk=user_id, is_active=True).exclude(language=code).update(language=code)
