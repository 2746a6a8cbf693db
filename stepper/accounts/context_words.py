"""Passwords that consist of what everybody knows of this service, or of their owner's name."""

import re
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import UserAttributeSimilarityValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

# Listed in docs/security.md, too. In lower case; no word is part of one before it.
WORDS = (
    *("steppergo", "stepper", "dispatcher", "dispatch", "passenger", "password", "kazakhstan", "welcome"),
    *("driver", "almaty", "astana", "admin", "staff", "taxi", "trip", "demo", "test"),
    *("пассажир", "казахстан", "водитель", "жүргізуші", "жолаушы", "алматы", "астана", "пароль", "такси", "құпиясөз"),
)
# Without these words, at least so many characters must remain, of which blanks and punctuation do not count.
LEAST_LEFT = 6
_BETWEEN_WORDS = re.compile(r"[\s!-/:-@\[-`{-~]")
_SHORTEST_LABEL = 4
_SHORTEST_NAME = 3


class ContextWordValidator:
    """Refuses a password of which little remains without the words of the context and those of our own hosts."""

    def validate(self, password: str, user: object = None) -> None:
        left = _BETWEEN_WORDS.sub("", password.casefold())
        for word in (*_host_words(settings.ALLOWED_HOSTS), *WORDS):
            left = left.replace(word, "")
        if len(left) < LEAST_LEFT:
            raise ValidationError(
                _("Everybody who knows this service would try this password. Add words of your own."),
                code="password_of_context",
            )

    def get_help_text(self) -> str:
        return _("Your password can’t consist of this service’s name and words around it.")


def _own_words(user: object) -> list[str]:
    """Return the words of an account's name and e-mail, the longest first."""
    texts = f"{getattr(user, 'name', '')} {str(getattr(user, 'email', '') or '').partition('@')[0]}"
    words = {_BETWEEN_WORDS.sub("", word) for word in texts.casefold().split()}
    return sorted((word for word in words if len(word) >= _SHORTEST_NAME), key=len, reverse=True)


class SimilarityValidator(UserAttributeSimilarityValidator):
    """Django's, which compares with the whole of each, and the rule of the context for words of name and e-mail."""

    def validate(self, password: str, user: Any = None) -> None:
        super().validate(password, user)
        before = left = _BETWEEN_WORDS.sub("", password.casefold())
        for word in _own_words(user):
            left = left.replace(word, "")
        if left != before and len(left) < LEAST_LEFT:
            raise ValidationError(
                _("Everybody who knows your name would try this password. Add words of your own."),
                code="password_too_similar",
            )


def _host_words(hosts: Iterable[str]) -> list[str]:
    """Return the labels of our hosts that are long enough to be words; "go.example.kz": example."""
    labels = {label.replace("-", "") for host in hosts for label in host.casefold().split(".")}
    return sorted((one for one in labels if one.isalnum() and len(one) >= _SHORTEST_LABEL), key=len, reverse=True)
