"""The language that somebody chose for pages, mails and notifications."""

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext_lazy as _

from stepper import limits
from stepper.errors import InvalidInput
from stepper.models import User


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
