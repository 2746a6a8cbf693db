"""Passwords that consist of what everybody knows of this service: its name, what it does, where it is reached."""

import re
from collections.abc import Iterable

from django.conf import settings
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


def _host_words(hosts: Iterable[str]) -> list[str]:
    """Return the labels of our hosts that are long enough to be words; "go.example.kz": example."""
    labels = {label.replace("-", "") for host in hosts for label in host.casefold().split(".")}
    return sorted((one for one in labels if one.isalnum() and len(one) >= _SHORTEST_LABEL), key=len, reverse=True)
