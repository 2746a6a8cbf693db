"""The wishes that a booking may have: which are offered, and what a trip keeps of those that were chosen."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from stepper.errors import InvalidFields
from stepper.templatetags.units import in_language
from trips.models import Wish


def offered_choices() -> list[tuple[str, str]]:
    """Return code and name of each wish that can be chosen now, in staff's order. One query."""
    return [(wish.code, in_language(wish.names)) for wish in Wish.objects.filter(is_active=True)]


def choose(codes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the wishes as a trip keeps them (events.Wish), in staff's order, each once. No query where there is none.

    Raises:
        InvalidInput: one of them is unknown or not offered any more
    """
    if not codes:
        return []
    found = [wish for wish in Wish.objects.filter(is_active=True) if wish.code in codes]
    if {wish.code for wish in found} != set(codes):
        unknown = _("One of these wishes is not offered any more. Choose again.")
        raise InvalidFields({"wishes": [unknown]})
    return [{"code": wish.code, "names": wish.names} for wish in found]
