"""What somebody is called; a driver's name is the one on their licence, which staff have checked."""

from django.utils.translation import gettext as _

from stepper import limits
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidInput
from stepper.models import User
from stepper.staff_words import ask_staff
from stepper.texts import clean_line


def may_rename(user: User) -> bool:
    """Say whether people choose their name themselves: drivers do not, nor who has applied and waits."""
    return not hasattr(user, "driver")


def rename(user: User, name: str) -> None:
    """Give the account another name. The same again changes nothing.

    Raises:
        InvalidInput: input.invalid, none or one that is too long
        Conflict: account.name_fixed, a driver's is on their licence
        NotPermitted: account.inactive
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call("account.name", user.pk, setting="changes_per_min")
    name = clean_line(name)
    longest = User._meta.get_field("name").max_length or 0
    if not 1 <= len(name) <= longest:
        message = _("Enter a name of up to %(most)d letters.") % {"most": longest}
        raise InvalidInput("input.invalid", message, {"name": [message]})
    _rename(user.pk, name)
    user.name = name


@in_transaction
def _rename(user_id: int, name: str) -> None:
    stored = User.objects.lock_active(user_id)
    if not may_rename(stored):
        fixed = Conflict("account.name_fixed", _("Your name is the one on your licence."))
        raise ask_staff(fixed, _("Our staff change it."))
    if stored.name != name:
        User.objects.filter(pk=user_id).update(name=name)
