"""Calls that a telephone exchange announces: the card of who calls opens at an operator's open pages.

Nothing is stored but the event: which call it is, is remembered for a day, so that an exchange that announces it
again, or from several lines, opens one card.
"""

import hashlib
import hmac
import re
from typing import Final

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from msgspec import Struct

from realtime import events, groups
from realtime.outbox import publish_many
from stepper import limits
from stepper.db.transactions import in_transaction
from stepper.errors import InvalidFields, NotFound, NotSignedIn, Text
from stepper.models import User
from stepper.phones import normal_phone
from trips.calls import PERMISSIONS

REMEMBERED_S: Final = 24 * 60 * 60
# Of one address that does not know the token, and of the exchange, each minute.
WRONG_TOKENS_PER_MIN: Final = 10
CALLS_PER_MIN: Final = 300
# A busy operator's desk; more would be a mistake of the settings.
MOST_OPERATORS: Final = 200
_CALL_ID = re.compile(r"[\x21-\x7e]{1,100}")


class Announced(Struct, frozen=True):
    """How many operators' pages open the card; `is_repeated`: they did before."""

    operators: int
    is_repeated: bool


def check_token(token: str, *, address: str) -> None:
    """Refuse who is not the exchange. `address`: whence, for the limits.

    Raises:
        NotFound: call.not_configured, there is no token
        NotSignedIn: auth.required
        TooManyRequests
    """
    wanted = settings.CALL_TOKEN_SHA256
    if not wanted:
        raise NotFound("call.not_configured", _("Calls are not taken from an exchange here."))
    if not hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), wanted):
        limits.spend("calls.token", address, most=WRONG_TOKENS_PER_MIN)
        raise NotSignedIn("auth.required", _("The exchange's token is wrong."))
    limits.spend("calls.announce", "all", most=CALLS_PER_MIN)


def announce(number: str, *, operator: str = "", call_id: str = "") -> Announced:
    """Open the card of who calls at the pages of an operator, or of all.

    `operator`: their e-mail, or an extension of the settings; empty: all who may take calls.

    Raises:
        InvalidInput: number, operator or call_id
    """
    phone = normal_phone(number)
    wrong: dict[str, list[Text]] = {}
    if phone is None:
        wrong["number"] = [_("Enter a phone number, for example +7 701 234 56 78.")]
    if call_id and not _CALL_ID.fullmatch(call_id):
        wrong["call_id"] = [_("Up to 100 visible ASCII characters.")]
    operators = _operators(operator)
    if operator and not operators:
        wrong["operator"] = [_("There is no operator with this e-mail or extension.")]
    if phone is None or wrong:
        raise InvalidFields(wrong)
    key = f"call:{limits.digest(f'{operator}|{call_id}')}" if call_id else ""
    if key and not cache.add(key, 1, REMEMBERED_S):
        return Announced(len(operators), is_repeated=True)
    try:
        _publish(phone, call_id, operators)
    except Exception:
        # It may be announced again.
        if key:
            cache.delete(key)
        raise
    return Announced(len(operators), is_repeated=False)


@in_transaction
def _publish(phone: str, call_id: str, operators: list[User]) -> None:
    event = events.CallAnnounced(phone=phone, call_id=call_id)
    publish_many((event, groups.user(one.pk)) for one in operators)


def _operators(wanted: str) -> list[User]:
    """Return the staff who may take calls: who is wanted alone, or all."""
    staff = User.objects.filter(is_staff=True, is_active=True)
    if wanted:
        email = settings.CALL_EXTENSIONS.get(wanted.strip(), wanted.strip())
        staff = staff.filter(Q(email=email.lower()))
    # Those who may take calls are found first: of many staff the others would take their places.
    for permission in PERMISSIONS:
        app, _dot, name = permission.partition(".")
        rows = Permission.objects.filter(content_type__app_label=app, codename=name)
        staff = staff.filter(
            Q(is_superuser=True)
            | Q(pk__in=User.user_permissions.through.objects.filter(permission__in=rows).values("user"))
            | Q(groups__in=Group.permissions.through.objects.filter(permission__in=rows).values("group"))
        )
    return [one for one in staff.distinct().order_by("pk")[:MOST_OPERATORS] if one.has_perms(PERMISSIONS)]


def draw(event: events.CallAnnounced) -> str:
    """Draw the toast that leads to the card of who calls."""
    return render_to_string("ops/announced.html", {"call": event, "name": _name_of(event.phone)})


def _name_of(phone: str) -> str:
    """Return whose number it is, for staff; empty: nobody's who has proved it."""
    user = User.objects.filter(phone=phone, phone_verified_at__isnull=False).first()
    return user.name if user else ""
