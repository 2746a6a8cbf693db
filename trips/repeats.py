"""Recognise a driver's command that was applied before, by the key that the client gave it.

A phone that lost the answer on the way, or whose tabs share what waited for the network, sends a command again. It is
applied once: the row that says so is written in the command's own transaction.
"""

import datetime as dt
import re

from django.utils.translation import gettext as _

from stepper.errors import Conflict, InvalidFields, Text
from trips.models import AppliedCommand

# Longer than a phone keeps what waits for the network (static/js/queued.js).
KEPT_FOR = dt.timedelta(days=2)
_KEY = re.compile(r"[\x21-\x7e]{1,64}")


def is_repeated(driver_id: int, key: str, about: str) -> bool:
    """Note that a command is applied now; True: it was applied before, so nothing is left to do.

    `key` empty: the client gave none, so nothing is noted. Call it in the command's transaction, with the locks: a
    refusal afterwards takes the note back.

    Raises:
        InvalidInput: input.invalid (Idempotency-Key)
        Conflict: command.key_reused, the key is that of another command
    """
    if not key:
        return False
    if not _KEY.fullmatch(key):
        reasons: dict[str, list[Text]] = {"Idempotency-Key": [_("Up to 64 visible ASCII characters.")]}
        raise InvalidFields(reasons)
    row, is_new = AppliedCommand.objects.get_or_create(driver_id=driver_id, key=key, defaults={"about": about})
    if row.about != about:
        raise Conflict("command.key_reused", _("This key was used for something else. Send a new one."))
    return not is_new
