"""What follows when a code has proved whose a number is: the account is theirs, and nobody else's any more.

Until then anybody may have signed up with it. So the first proof takes everything away by which an account could be
opened so far: password, address, second factors, sessions with their tokens and sockets, pushes, links and codes that
wait. Its trips stay. Somebody who proves the password beside the number keeps it all.
"""

from allauth.mfa.models import Authenticator
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper import security_log
from stepper.accounts import sessions
from stepper.db.transactions import in_transaction
from stepper.errors import NotPermitted
from stepper.languages import offered_or_source
from stepper.mail import sending
from stepper.models import (
    AddressChange,
    AddressCode,
    PhoneCode,
    SecurityEventCode,
    User,
    credentials_removed,
)


def staff_by_password() -> NotPermitted:
    return NotPermitted("auth.staff_by_password", _("Staff sign in with their password and second factor, not by SMS."))


def require_no_staff(user: User) -> None:
    """Refuse to open a member of staff's account by SMS. Raises NotPermitted: auth.staff_by_password."""
    if user.is_staff or user.is_superuser:
        security_log.count(SecurityEventCode.SIGN_IN_FAILED, subject_id=user.pk, details="staff, code by SMS")
        raise staff_by_password()


@in_transaction
def prove(user_id: int, phone: str, *, keep: SessionBase | None = None, has_password: bool = False) -> bool:
    """Note that a code proved the number of an active account; return whether what was from before was removed.

    `has_password`: who proves it has proved the password too, and keeps everything. `keep`: the session in which they
    do it. Nothing changes where the number was verified already, or is another one meanwhile.

    Raises:
        NotPermitted: auth.staff_by_password, account.inactive.
    """
    user = User.objects.lock_active(user_id)
    if user.phone is None or user.phone.as_e164 != phone or user.phone_verified_at is not None:
        return False
    user.phone_verified_at = timezone.now()
    if has_password:
        user.save(update_fields=["phone_verified_at"])
        security_log.record(SecurityEventCode.PHONE_VERIFIED, subject_id=user.pk)
        return False
    require_no_staff(user)
    old_email = user.email
    _remove_credentials(user, keep=keep)
    security_log.record(SecurityEventCode.PHONE_VERIFIED, subject_id=user.pk, details="what was from before removed")
    if old_email and sending.is_offered():
        sending.send("phone_proven", old_email, language=user.offered_language, context={"user": user})
    return True


def _remove_credentials(user: User, *, keep: SessionBase | None) -> None:
    """Take away everything that opens the account but its number.

    1. Second factors, so that no code of theirs is asked for.
    2. Password and address, with links and codes that wait for either.
    3. Sessions: their tokens and sockets end with what they are bound to.
    4. Whatever else hears of it, such as browsers that get pushes.
    """
    for row in Authenticator.objects.filter(user=user):
        row.delete()
    for model in (AddressChange, AddressCode):
        model.objects.filter(user=user).delete()
    PhoneCode.objects.filter(user=user).delete()
    user.email = None
    user.set_unusable_password()
    user.save(update_fields=["email", "password", "phone_verified_at"])
    sessions.end_sessions_of(user.pk, keep=keep)
    credentials_removed.send(User, user_id=user.pk)


def sign_up(phone: str, name: str, *, language: str) -> tuple[User, bool]:
    """Return the account of a number that was proved just now, made if there is none; and whether it is new."""
    try:
        with transaction.atomic():
            user = User(name=name, phone=phone, phone_verified_at=timezone.now(), language=offered_or_source(language))
            user.set_unusable_password()
            user.save(force_insert=True)
            return user, True
    except IntegrityError:
        return User.objects.get(phone=phone), False
