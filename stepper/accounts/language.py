"""The language that somebody chose for pages, mails and notifications."""

from typing import Any

from django.conf import settings
from django.contrib.auth import user_logged_in
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from stepper import limits
from stepper.errors import InvalidInput
from stepper.models import User


def connect() -> None:
    """From signing in on, answer in the account's language: what is said of it is shown on a page in that language."""
    user_logged_in.connect(_on_signed_in, dispatch_uid="stepper.accounts.language")


def _on_signed_in(request: HttpRequest | None, user: User, **_more: Any) -> None:
    # Only in a request whose language was chosen (stepper.web.languages): elsewhere nobody would choose anew.
    if hasattr(request, "LANGUAGE_CODE"):
        translation.activate(user.offered_language)


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
