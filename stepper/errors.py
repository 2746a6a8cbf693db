"""What can go wrong in the domain, as one tree of exceptions with stable, dotted codes.

REST answers, socket `error` frames and page messages are all made from these. The code is a promise to programs;
the message is for people and translated.

DomainError
├── InvalidInput      400  something is wrong with what came
│   └── InvalidFields 400  of what was entered; `fields` says which
├── NotSignedIn       401
├── NotPermitted      403
├── NotFound          404
├── Conflict          409  a lost race, an illegal transition, a rule that refuses now
├── TooManyRequests   429  `retry_after_s` says when to come back
└── Unavailable       503  the database or Redis is away; `retry_after_s` says when to come back
"""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

Text = str | Promise

# REST and sockets say it alike.
HTTPS_REQUIRED = _("Use https: what you sent was not encrypted.")


class DomainError(Exception):
    """A refusal with a stable `code`, a translated `message` and the HTTP `status` it answers with."""

    status = 400
    # Further members of the body that REST answers: what a program needs to go on.
    details: Mapping[str, Any] = {}
    # Whether the figures have it: an answer can be made in several steps (stepper.monitoring.figures).
    is_counted = False
    # How staff are reached, where the message sends people to them (stepper.staff_words).
    contact = ""

    def __init__(self, code: str, message: Text, fields: Mapping[str, list[Text]] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.fields = dict(fields or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def reasons(self) -> list[str]:
        """For people: what is wrong with each field, else the message."""
        return [str(text) for texts in self.fields.values() for text in texts] or [str(self.message)]

    @property
    def message_with_contact(self) -> Text:
        """For programs and notifications: the message, and how staff are reached where it names them, lazily."""
        return format_lazy("{} {}", self.message, self.contact) if self.contact else self.message

    @property
    def as_text(self) -> str:
        """For people, where there is nothing but text: the reasons, and how staff are reached where these name them."""
        return " ".join([*self.reasons, *([self.contact] if self.contact else [])])


class InvalidInput(DomainError):
    status = 400


class InvalidFields(InvalidInput):
    """Some of what was entered is wrong, as the fields say: pages mark these, JSON names them."""

    def __init__(self, fields: Mapping[str, list[Text]], *, code: str = "input.invalid") -> None:
        super().__init__(code, gettext("Please correct what is marked."), fields)


class NotSignedIn(DomainError):
    status = 401


class NotPermitted(DomainError):
    status = 403


class NotFound(DomainError):
    status = 404


class Conflict(DomainError):
    status = 409


class TooManyRequests(DomainError):
    status = 429

    def __init__(self, code: str, message: Text, retry_after_s: int) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class Unavailable(DomainError):
    status = 503
    retry_after_s = 5
