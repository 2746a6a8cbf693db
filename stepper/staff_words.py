"""Words that send people to the company's staff: said where staff have entered how they are reached, and never else.

Whatever says so goes through here, so that it comes with the contact: pages draw it below a refusal
(`stepper.web.refusals`, `{% support_contact %}`), what is text alone ends in it.
"""

from typing import Final, TypeVar

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from stepper.errors import DomainError, Text
from stepper.models import ServiceSettings
from stepper.models.company_settings import Support

E = TypeVar("E", bound=DomainError)

# The code of a form's error that names staff.
ASKS_STAFF: Final = "asks_staff"
ASK: Final = _("Ask our staff.")
OR_ASK: Final = _("You can also ask our staff.")


def ask_staff(error: E, sentence: Text = ASK, *, support: Support | None = None) -> E:
    """Add to a refusal the sentence that sends people to staff, where they can be reached. Returns the refusal.

    What the refusal says without it is complete. `support`: of the settings that were read already; None: one query.
    """
    found = ServiceSettings.current().support if support is None else support
    if found:
        error.message = _join(error.message, sentence)
        error.fields = {name: [*texts[:-1], _join(texts[-1], sentence)] for name, texts in error.fields.items()}
        error.contact = found.in_short
    return error


def add_staff(text: Text, sentence: Text, support: Support, *, with_contact: bool = False) -> Text:
    """Add the sentence that sends people to staff, where they can be reached; `with_contact`: with how."""
    if not support:
        return text
    joined = _join(text, sentence)
    return _join(joined, support.in_short) if with_contact else joined


def _join(first: Text, second: Text) -> Text:
    return format_lazy("{} {}", first, second)
