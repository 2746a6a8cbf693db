"""The e-mail address of an account: one, proved before it counts, and nowhere else than on the user.

Changing it takes three things: a proof of who asks (the password; without one a code sent to the present address,
or by SMS where there is a proven number and no address), a
link sent to the new address and opened while signed in, and a note to the old address, or to the phone where there was
none. A phone number is changed by
staff only.
"""

import datetime as dt
import enum
import hashlib
import secrets
from collections.abc import Collection
from typing import Any

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.signals import post_save, pre_save
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _

from stepper import limits, security_log
from stepper.accounts import phone_codes, sign_in
from stepper.accounts.confirmation import confirms_by_code, require_confirmed
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidInput, NotPermitted
from stepper.mail import sending
from stepper.models import AddressChange, AddressCode, SecurityEventCode, User
from stepper.staff_words import ask_staff

LINK_AGE = dt.timedelta(days=1)
CODE_AGE = dt.timedelta(minutes=10)
CODE_TRIES = 5
# Each is also a guess at the password, and a mail to an address that somebody else may own.
CHANGES_PER_HOUR = 10
CHANGES_TO_ADDRESS_PER_HOUR = 5
CODES_PER_HOUR = 5


class Proof(enum.Enum):
    """What somebody shows before their address may change."""

    PASSWORD = "password"  # noqa: S105
    # Sent to the present address, for accounts without a password.
    CODE = "code"
    # To the phone, for accounts with a proven number only: the session is confirmed by it (`confirmation`).
    SMS = "sms"
    # None of them: only staff can tell who it is.
    NONE = "none"


def proof_of(user: User) -> Proof:
    if user.has_usable_password():
        return Proof.PASSWORD
    if user.email:
        return Proof.CODE
    return Proof.SMS if confirms_by_code(user) else Proof.NONE


def is_proven(user: User) -> bool:
    """Say whether a link that was sent to the account's present address has been opened."""
    return bool(user.email) and EmailAddress.objects.filter(user=user, email=user.email, verified=True).exists()


def request_proof(user: User, *, base_url: str) -> None:
    """Send a link to the present address, which proves it when it is opened while signed in.

    Raises:
        Conflict: mail.not_offered; address.proven, it was opened before.
        NotPermitted: address.missing, the account has none.
        TooManyRequests: too many in an hour, with those of `request_change`.
    """
    require_mail()
    if not user.email:
        raise NotPermitted("address.missing", _("Your account has no e-mail yet."))
    if is_proven(user):
        raise Conflict("address.proven", _("Your e-mail is confirmed already."))
    limits.spend("address-change", user.pk, most=CHANGES_PER_HOUR, window_s=limits.HOUR_S)
    limits.spend(
        "address-change-to", limits.digest(user.email), most=CHANGES_TO_ADDRESS_PER_HOUR, window_s=limits.HOUR_S
    )
    token = secrets.token_urlsafe(32)
    _store(user, user.email, token=token, code=None)
    url = base_url + reverse("stepper:address-confirm", args=[token])
    sending.send("address_confirm", user.email, language=user.offered_language, context={"user": user, "url": url})


def pending_change(user: User) -> AddressChange | None:
    """Find the change that waits for its link to be opened."""
    change = AddressChange.objects.filter(user=user).first()
    return change if change is not None and _is_current(change, user) else None


def change_of_link(user: User, token: str) -> AddressChange | None:
    """Find the change that opening this link would confirm; None: the link no longer works for this user."""
    change = pending_change(user)
    is_right = change is not None and constant_time_compare(change.token_digest, _token_digest(token))
    return change if is_right else None


def require_mail() -> None:
    """Raise Conflict (mail.not_offered) where no mail can be sent."""
    if not sending.is_offered():
        raise ask_staff(Conflict("mail.not_offered", _("This service sends no mail.")))


def send_code(user: User) -> None:
    """Send a fresh code to the present address of an account without a password.

    Raises:
        Conflict: mail.not_offered.
        NotPermitted: address.no_proof, the account proves itself otherwise or not at all.
        TooManyRequests: too many codes in an hour.
    """
    require_mail()
    if proof_of(user) is not Proof.CODE or user.email is None:
        raise _no_proof()
    limits.spend("address-code", user.pk, most=CODES_PER_HOUR, window_s=limits.HOUR_S)
    code = f"{secrets.randbelow(1_000_000):06}"
    fresh = {
        "email": user.email,
        "code_digest": _code_digest(user.pk, code),
        "tries": 0,
        "expires_at": timezone.now() + CODE_AGE,
    }
    with transaction.atomic():
        User.objects.lock_active(user.pk)
        AddressCode.objects.update_or_create(user=user, defaults=fresh)
    sending.send("address_code", user.email, language=user.offered_language, context={"user": user, "code": code})


def request_change(request: HttpRequest, user: User, *, email: str, proof: str, base_url: str) -> None:
    """Send a link to a new address; the address changes when `confirm_change` gets what the link carries.

    `proof` is the password, or the code of `send_code` for an account without one; an account with a phone only has a
    session that is confirmed by a code by SMS instead. Whether the address belongs to
    another account is not said before its owner has opened the link. A new request replaces the one before. `request`
    says from which device and address a password is tried.

    Raises:
        ConfirmationRequired: auth.confirmation_required, a code by SMS comes first.
        Conflict: mail.not_offered.
        InvalidInput: input.invalid, no address or the present one; address.proof_wrong, the password or code.
        NotPermitted: address.no_proof, the account has neither.
        TooManyRequests: too many changes of this account or to this address in an hour, or too many wrong passwords.
        RedisError: the counters of sign-ins are away.
    """
    require_mail()
    kind = proof_of(user)
    if kind is Proof.NONE:
        raise _no_proof()
    if kind is Proof.SMS:
        require_confirmed(request.session, user)
    email = _checked(email, user)
    limits.spend("address-change", user.pk, most=CHANGES_PER_HOUR, window_s=limits.HOUR_S)
    if kind is not Proof.SMS:
        is_right = sign_in.check_password(request, user, proof) if kind is Proof.PASSWORD else _is_code(user, proof)
        if not is_right:
            raise _wrong_proof(kind)
    limits.spend("address-change-to", limits.digest(email), most=CHANGES_TO_ADDRESS_PER_HOUR, window_s=limits.HOUR_S)
    token = secrets.token_urlsafe(32)
    _store(user, email, token=token, code=proof if kind is Proof.CODE else None)
    security_log.count(SecurityEventCode.EMAIL_CHANGE_REQUESTED, subject_id=user.pk, details=f"to {email}")
    url = base_url + reverse("stepper:address-confirm", args=[token])
    sending.send("address_confirm", email, language=user.offered_language, context={"user": user, "url": url})


def confirm_change(user: User, token: str) -> User:
    """Give the account the address whose link was opened, and tell the old one. Returns the user as stored.

    Where there was none, the phone is told: whoever had the SIM card for an hour leaves no address unnoticed.

    Raises:
        Conflict: address.link_invalid, the link is used, too old, replaced, somebody else's, or the address or the
            password has changed since; address.taken, another account has the address.
    """
    return _change(user.pk, token)


@in_transaction
def _change(user_id: int, token: str) -> User:
    """Store the address and have the old one, or the phone, told; return the user."""
    user = User.objects.select_for_update().get(pk=user_id)
    user.require_active()
    change = change_of_link(user, token)
    if change is None:
        raise Conflict("address.link_invalid", _("This link no longer works. Ask for a new one."))
    old_email, user.email = user.email, change.new_email
    try:
        with transaction.atomic():
            user.save(update_fields=["email"])
    except IntegrityError as error:
        raise Conflict("address.taken", _("Another account has this e-mail. Sign in with it instead.")) from error
    # What a server of an earlier release may have let somebody else enter.
    EmailAddress.objects.filter(email=user.email).exclude(user=user).delete()
    EmailAddress.objects.update_or_create(user=user, email=user.email, defaults={"primary": True, "verified": True})
    change.delete()
    if old_email != user.email:
        tell_old_address(user, old_email)
    if not old_email and user.phone and user.has_verified_phone:
        text = _("StepperGO: your account has an e-mail now. Was it not you? Sign in and change it at once.")
        phone_codes.tell(user.phone.as_e164, text, language=user.offered_language)
    return user


def tell_old_address(user: User, old_email: str | None) -> None:
    """Send a note to the address an account had until now; the new one is not named. Best effort."""
    if old_email and sending.is_offered():
        sending.send("address_changed", old_email, language=user.offered_language, context={"user": user})


def _checked(email: str, user: User) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
        AddressChange._meta.get_field("new_email").run_validators(email)
    except ValidationError:
        raise _invalid(_("Enter an e-mail address.")) from None
    if email == user.email:
        raise _invalid(_("This is your e-mail already."))
    return email


def _invalid(message: Any) -> InvalidInput:
    return InvalidInput("input.invalid", message, {"email": [message]})


def _no_proof() -> NotPermitted:
    refusal = NotPermitted("address.no_proof", _("We cannot check here that it is you."))
    return ask_staff(refusal, _("Ask our staff to change your e-mail."))


def _wrong_proof(kind: Proof) -> InvalidInput:
    message = _("This is not your password.") if kind is Proof.PASSWORD else _("This code is wrong or too old.")
    return InvalidInput("address.proof_wrong", message, {"proof": [message]})


def _is_code(user: User, code: str) -> bool:
    """Count a try at the code sent to this user, then compare: guesses that race are all counted."""
    codes = AddressCode.objects.filter(user=user, email=user.email, expires_at__gt=timezone.now(), tries__lt=CODE_TRIES)
    if not codes.update(tries=F("tries") + 1):
        return False
    stored = AddressCode.objects.filter(user=user).values_list("code_digest", flat=True).first()
    return stored is not None and constant_time_compare(stored, _code_digest(user.pk, code.strip()))


@in_transaction
def _store(user: User, email: str, *, token: str, code: str | None) -> None:
    """Keep what the link will be compared with. A code is used up: the second of two that race is refused."""
    User.objects.lock_active(user.pk)
    if code is not None:
        used, _rows = AddressCode.objects.filter(user=user, code_digest=_code_digest(user.pk, code.strip())).delete()
        if not used:
            raise _wrong_proof(Proof.CODE)
    change = {
        "old_email": user.email or "",
        "new_email": email,
        "password_digest": user.get_session_auth_hash(),
        "token_digest": _token_digest(token),
        "expires_at": timezone.now() + LINK_AGE,
    }
    AddressChange.objects.update_or_create(user=user, defaults=change)


def _is_current(change: AddressChange, user: User) -> bool:
    return (
        change.expires_at > timezone.now()
        and change.old_email == (user.email or "")
        and constant_time_compare(change.password_digest, user.get_session_auth_hash())
    )


def _token_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _code_digest(user_id: int, code: str) -> str:
    """Digest a code with the secret key: six digits would be found from a plain digest in a second."""
    return salted_hmac("stepper.accounts.addresses.code", f"{user_id}:{code}", algorithm="sha256").hexdigest()


# allauth's table of addresses


def connect() -> None:
    """Keep allauth's table in step with the users, whoever changes either."""
    post_save.connect(_drop_aliases, sender=User)
    pre_save.connect(_refuse_alias, sender=EmailAddress)


def _drop_aliases(
    instance: User, created: bool, *, raw: bool, update_fields: Collection[str] | None, **_more: Any
) -> None:
    if created or raw or (update_fields is not None and "email" not in update_fields):
        return
    EmailAddress.objects.filter(user=instance).exclude(email=instance.email or "").delete()


def _refuse_alias(instance: EmailAddress, raw: bool, **_more: Any) -> None:
    if not raw and instance.email != instance.user.email:
        raise ValueError("an account has one address, that of its user")
