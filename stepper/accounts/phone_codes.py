"""Codes by SMS: sent within limits, stored as digests, worth something once, for ten minutes, to who asked for them.

Whether a number has an account plays no part in sending: neither the answer nor how long it takes says so. All limits
are counts of a day in the database (`stepper.day_counts`), by the number as it is stored, however it was typed.
"""

import datetime as dt
import enum
import hashlib
import logging
import secrets
from typing import NamedTuple

import phonenumbers
from django.db.models import F, Q
from django.http import HttpRequest
from django.utils import translation
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stepper import day_counts, security_log
from stepper.accounts.sign_in import client_address
from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidInput, Text, TooManyRequests, Unavailable
from stepper.models import PhoneCode, PhonePurpose, SecurityEventCode, ServiceSettings, User
from stepper.models.phone_settings import parse_country_codes
from stepper.phones import normal_phone
from stepper.sms import sending
from stepper.staff_words import OR_ASK, add_staff, ask_staff

logger = logging.getLogger("stepper.accounts.phone_codes")

CODE_AGE = dt.timedelta(minutes=10)
CODE_DIGITS = 6
# What is counted; in all also what others send (realtime.delivery).
_TO_NUMBER, _BY_NETWORK, SMS_IN_ALL, _WRONG = "sms:number", "sms:network", "sms:all", "sms:wrong"
# Apart from codes: nobody keeps others from signing in by having notes sent to them.
_NOTES, _NOTES_BY = "sms:notes", "sms:notes-by"
# Apart from both: nobody keeps an owner from hearing that the account was changed.
_SECURITY = "sms:security"
# That many get through whatever the setting: whoever took over an account changes more than one thing.
_LEAST_SECURITY = 5

NOT_YOU = gettext_lazy("Was it not you? Tell our staff at once:")


class Sent(NamedTuple):
    """A code is on its way to `phone`; `token` is what the code will be worth something with."""

    token: str
    phone: str


class _Outcome(enum.Enum):
    RIGHT = enum.auto()
    WRONG = enum.auto()
    # Used, expired, or asked for by somebody else or for something else.
    ENDED = enum.auto()
    REFUSED = enum.auto()


class _Tried(NamedTuple):
    outcome: _Outcome
    phone: str = ""
    retry_after_s: int = 0


def require_offered() -> None:
    """Raise Conflict (phone.not_offered) where no SMS can be sent."""
    if not sending.is_offered():
        raise ask_staff(Conflict("phone.not_offered", gettext_lazy("This service sends no SMS.")))


def read_phone(text: str) -> str:
    """Write a number as it is stored. Raises InvalidInput: input.invalid."""
    phone = normal_phone(text)
    if phone is None:
        raise invalid_phone(gettext_lazy("Enter a phone number, for example +7 701 234 56 78."))
    return phone


def invalid_phone(message: Text) -> InvalidInput:
    return InvalidInput("input.invalid", message, {"phone": [message]})


def send(request: HttpRequest, phone: str, purpose: PhonePurpose, user: User | None = None) -> Sent:
    """Send a code to a number as it is stored, and return what belongs to it. `user`: whose number it is, or will be.

    Raises:
        Conflict: phone.not_offered.
        InvalidInput: phone.country_refused.
        TooManyRequests: sms.number_limit, sms.network_limit, sms.daily_limit.
        Unavailable: sms.unavailable, too many wait to be sent.
    """
    require_offered()
    settings = ServiceSettings.current()
    if not _is_country_served(phone, settings):
        message = gettext_lazy("We send no SMS to numbers of this country. Use another number, or your e-mail.")
        raise InvalidInput("phone.country_refused", message, {"phone": [message]})
    try:
        sent = _send(phone, purpose, user, network=client_address(request), settings=settings)
    except TooManyRequests as refusal:
        security_log.count(SecurityEventCode.SIGN_IN_REFUSED, login=phone, details=refusal.code)
        raise
    security_log.count(SecurityEventCode.PHONE_CODE_SENT, login=phone, details=purpose.value)
    return sent


def _is_country_served(phone: str, settings: ServiceSettings) -> bool:
    country_code = phonenumbers.parse(phone).country_code
    return country_code in parse_country_codes(settings.sms_country_codes)


@in_transaction
def _send(phone: str, purpose: PhonePurpose, user: User | None, *, network: str, settings: ServiceSettings) -> Sent:
    """Count the SMS in all counts or in none, store the digest of a code, and have it sent after the commit."""
    # Always in this order, so that those who send at once wait for each other and not in a circle.
    for scope, who, most, refuse in (
        (_TO_NUMBER, phone, settings.sms_per_number_day, _too_many_to_number),
        (_BY_NETWORK, network, settings.sms_per_network_day, _too_many_by_network),
        (SMS_IN_ALL, "", settings.sms_per_day, _too_many_in_all),
    ):
        counted = day_counts.count(scope, who)
        if counted.number > most:
            raise refuse(counted.closes_in_s)
    token, code = secrets.token_urlsafe(32), f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
    row = PhoneCode(
        token_digest=_digest_token(token),
        purpose=purpose,
        phone=phone,
        user=user,
        code_digest=_digest_code(token, code),
        expires_at=database_now() + CODE_AGE,
    )
    row.save(force_insert=True)
    text = _("StepperGO: your code is %(code)s. Tell it to nobody.") % {"code": code}
    if not sending.send(phone, text, until=row.expires_at):
        raise Unavailable("sms.unavailable", gettext_lazy("We cannot send a code just now. Try again in a moment."))
    return Sent(token, phone)


def _too_many_to_number(retry_after_s: int) -> TooManyRequests:
    message = gettext_lazy("We have sent as many codes to this number as we send in a day.")
    return TooManyRequests("sms.number_limit", message, retry_after_s)


def _too_many_by_network(retry_after_s: int) -> TooManyRequests:
    message = gettext_lazy("Too many codes were sent from your network today.")
    return TooManyRequests("sms.network_limit", message, retry_after_s)


def _too_many_in_all(retry_after_s: int) -> TooManyRequests:
    message = gettext_lazy("We cannot send more codes today. Sign in with your password.")
    return ask_staff(TooManyRequests("sms.daily_limit", message, retry_after_s), OR_ASK)


def tell(phone: str, text: Text, *, language: str, to_staff: Text = "") -> None:
    """Send a number a note of security, that its owner's account was changed; call it in the transaction of the change.

    Neither codes nor other notes use up what is kept for these: none is refused because of what others had sent, and
    none because many SMS wait. They are bounded by themselves, `sms_per_number_day` to one number, but at least five.
    `to_staff`: what else is said where staff can be reached.
    """
    if not sending.is_offered():
        return
    settings = ServiceSettings.current()
    most = max(settings.sms_per_number_day, _LEAST_SECURITY)
    if not day_counts.count_within(_SECURITY, phone, most=most):
        logger.warning("a note of security was not sent: its number got %d in a day", most)
        return
    day_counts.count(SMS_IN_ALL)
    with translation.override(language):
        written = str(add_staff(text, to_staff, settings.support, with_contact=True) if to_staff else text)
    sending.send(phone, written, until=database_now() + dt.timedelta(hours=1), waits_behind_any=True)


def notes_per_day(settings: ServiceSettings) -> int:
    """Return how many SMS may have gone out in a day when a further note is sent: half of all are left for codes."""
    return (settings.sms_per_day + 1) // 2


def tell_unproven(phone: str, text: Text, *, language: str, by_id: int | None, settings: ServiceSettings) -> bool:
    """Send a note to a number that nobody has proven; False: no SMS are sent there, or as many as are sent in a day.

    `by_id`: the account that causes it, which causes no more than one network address in a day; None: staff, who are
    not limited. Call it in the transaction of what it tells of.
    """
    if not sending.is_offered() or not _is_country_served(phone, settings):
        return False
    if by_id is not None and not day_counts.count_within(_NOTES_BY, str(by_id), most=settings.sms_per_network_day):
        return False
    if not day_counts.count_within(_NOTES, phone, most=settings.sms_per_number_day):
        return False
    if not day_counts.count_within(SMS_IN_ALL, most=notes_per_day(settings)):
        return False
    with translation.override(language):
        written = str(text)
    return sending.send(phone, written, until=database_now() + dt.timedelta(hours=1))


def check(token: str, code: str, purpose: PhonePurpose, user: User | None = None, *, uses_up: bool = True) -> str:
    """Check the code that belongs to a token, and use it up; return the number that it proves.

    A wrong one is counted before it is compared, for the number and over everybody who tries.

    Raises:
        InvalidInput: phone.code_wrong; phone.code_ended, it was used, is too old, or is not of this token.
        TooManyRequests: phone.too_many_wrong_codes.
    """
    most = ServiceSettings.current().wrong_codes_per_day
    tried = _try(token, code.strip(), purpose, user.pk if user is not None else None, most=most, uses_up=uses_up)
    match tried.outcome:
        case _Outcome.RIGHT:
            return tried.phone
        case _Outcome.ENDED:
            raise code_ended()
        case _Outcome.REFUSED:
            _log_failure(SecurityEventCode.SIGN_IN_REFUSED, tried.phone)
            message = gettext_lazy("Too many wrong codes for this number. Try again tomorrow.")
            raise ask_staff(TooManyRequests("phone.too_many_wrong_codes", message, tried.retry_after_s), OR_ASK)
    _log_failure(SecurityEventCode.SIGN_IN_FAILED, tried.phone)
    message = gettext_lazy("This code is wrong. Enter the one from the last SMS.")
    raise InvalidInput("phone.code_wrong", message, {"code": [message]})


def code_ended() -> InvalidInput:
    message = gettext_lazy("This code no longer works. Ask for a new one.")
    return InvalidInput("phone.code_ended", message, {"code": [message]})


@in_transaction
def _try(token: str, code: str, purpose: PhonePurpose, user_id: int | None, *, most: int, uses_up: bool) -> _Tried:
    """Compare a code under the locks of its row and of the number's count. It raises nothing: what it counts stays."""
    whose = Q(user__isnull=True) if user_id is None else Q(user_id=user_id)
    mine = PhoneCode.objects.filter(whose, token_digest=_digest_token(token), purpose=purpose)
    row = mine.filter(expires_at__gt=database_now()).select_for_update().first()
    if row is None:
        return _Tried(_Outcome.ENDED)
    counted = day_counts.count(_WRONG, row.phone)
    if counted.number > most:
        day_counts.take_back(_WRONG, row.phone)
        return _Tried(_Outcome.REFUSED, row.phone, counted.closes_in_s)
    if not constant_time_compare(row.code_digest, _digest_code(token, code)):
        mine.update(tries=F("tries") + 1)
        return _Tried(_Outcome.WRONG, row.phone)
    day_counts.take_back(_WRONG, row.phone)
    if uses_up:
        row.delete()
    return _Tried(_Outcome.RIGHT, row.phone)


def use_up(token: str) -> None:
    """Use up a code that was checked before. Raises InvalidInput: phone.code_ended, somebody was faster."""
    used, _rows = PhoneCode.objects.filter(token_digest=_digest_token(token)).delete()
    if not used:
        raise code_ended()


def _log_failure(event: SecurityEventCode, phone: str) -> None:
    user_id = User.objects.filter(phone=phone).values_list("pk", flat=True).first()
    whose = {"login": phone} if user_id is None else {"subject_id": user_id}
    security_log.count(event, **whose, details="code by SMS")


def _digest_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _digest_code(token: str, code: str) -> str:
    """Digest a code with the secret key: six digits would be found from a plain digest in a second."""
    return salted_hmac("stepper.accounts.phone_codes", f"{token}:{code}", algorithm="sha256").hexdigest()
