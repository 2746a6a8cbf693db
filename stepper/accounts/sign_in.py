"""Signing in with a password: one verb for every way in, with its limits.

Whoever asks for a password (the page, the administration, `POST /api/token`, a form that wants it once more) comes
through `authenticate` or `check_password`; whoever asks for a second factor, through `check_code` or `check_factor`.

- Failures are counted by account, whatever name it was called by, else by the login as it would be stored; and by the
  client's address. A login without an account is counted, answered and hashed like one with an account.
- After too many failures the account is locked for a minute, then for two, four … at most an hour. Nobody waits in a
  thread: the refusal says when to come back.
- A device that has signed in to the account before brings a signed cookie and has a count of its own, so a stranger
  who guesses does not lock the owner out ("device cookies", OWASP). The cookie ends with the password.
- Successes are limited too, by account and by address: a hash costs 19 MiB and some ten milliseconds of a core.

All counters are in the cache: Redis where several processes share one, and nobody signs in while it is away.
"""

import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core import signing
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.utils.translation import ngettext
from redis.exceptions import RedisError

from stepper import security_log
from stepper.accounts import codes, passkey_proofs
from stepper.errors import TooManyRequests
from stepper.limits import Window, digest, too_many
from stepper.models import SecurityEventCode, User
from stepper.phones import normal_phone
from stepper.server.proxies import network_of

logger = logging.getLogger("stepper.accounts.sign_in")

LOCKOUT_S = 60
LONGEST_LOCKOUT_S = 60 * 60
# An account that was not locked for this long starts again with the shortest lockout.
LOCKOUTS_KEPT_S = 24 * 60 * 60

DEVICE_COOKIE = f"{settings.COOKIE_PREFIX}device"
DEVICE_KEPT_S = 365 * 24 * 60 * 60
# Accounts that one browser is known to; the one that signed in longest ago is forgotten.
ACCOUNTS_PER_DEVICE = 5
_DEVICE_SALT = "stepper.accounts.sign_in.device"


def client_address(request: HttpRequest) -> str:
    """Return the network that a request came from, for limits by address; proxies.py has settled whose it is."""
    return network_of(request.META.get("REMOTE_ADDR", ""))


def authenticate(request: HttpRequest, password: str, *, email: str = "", phone: str = "") -> User | None:
    """Find the account of an e-mail address or phone number, active or not; None: there is none, or a wrong password.

    Raises:
        TooManyRequests: rate.limited, too many failures or sign-ins of this account or from this address.
        RedisError: the counters are away.
    """
    email = email.strip().lower()
    phone = (normal_phone(phone) or phone.strip()) if phone else ""
    user = User.objects.filter(email=email).first() if email else None
    if user is None and phone:
        user = User.objects.filter(phone=phone).first()
    if not _check(request, user, login=email or phone, verify=lambda: _verify(user, password)):
        return None
    if user is not None and not user.is_active:
        security_log.count(SecurityEventCode.SIGN_IN_FAILED, subject_id=user.pk, details="deactivated account")
    return user


def check_password(request: HttpRequest, user: User, password: str) -> bool:
    """Check the password of a user who has to enter it again; counted like a sign-in.

    Raises:
        TooManyRequests: rate.limited
        RedisError: the counters are away.
    """
    return _check(request, user, login="", verify=lambda: _verify(user, password))


def check_code(request: HttpRequest, user: User, code: str) -> bool:
    """Check a code of the second factor of a user whose password was right, and use it up.

    A wrong one is a failed sign-in. Strangers' wrong codes have a count of their own beside the account's: a new
    password, which whoever reads somebody's mail can set, lets a locked account in again, but nobody to more codes.

    Raises:
        TooManyRequests: rate.limited
        RedisError: the counters are away.
    """
    return _check(request, user, login="", verify=lambda: codes.use_code(user, code), is_code=True)


def check_factor(request: HttpRequest, user: User, *, code: str, passkey: str = "") -> bool:
    """Check a code as `check_code` does, or what the browser answered to `passkey_proofs.make_request` if it did.

    A passkey that is refused is counted like a wrong code.

    Raises:
        TooManyRequests: rate.limited
        RedisError: the counters are away.
    """
    if code or not passkey:
        return check_code(request, user, code)
    return _check(request, user, login="", verify=lambda: passkey_proofs.use(user, passkey), is_code=True)


def count_sign_up(request: HttpRequest) -> None:
    """Count one form sent for a new account: such forms can also be used to find out who has an account.

    Raises:
        TooManyRequests: rate.limited, too many from this address.
        RedisError: the counters are away.
    """
    window = Window(f"sign_up:address:{client_address(request)}")
    if window.increment() > settings.SIGN_UPS_PER_ADDRESS:
        raise too_many(window.closes_in_s)


def _check(
    request: HttpRequest, user: User | None, *, login: str, verify: Callable[[], bool], is_code: bool = False
) -> bool:
    """Check a password or a code within the limits, and have the security log say how it ended unless it was right."""
    whose = {"subject_id": user.pk} if user is not None else {"login": login}
    try:
        is_right, is_locked_now = _check_counted(request, user, login=login, verify=verify, is_code=is_code)
    except TooManyRequests:
        security_log.count(SecurityEventCode.SIGN_IN_REFUSED, **whose)
        raise
    if not is_right:
        security_log.count(SecurityEventCode.SIGN_IN_FAILED, **whose, details="wrong code" if is_code else "")
    if is_locked_now:
        security_log.count(SecurityEventCode.SIGN_IN_LOCKED, **whose)
    return is_right


def _check_counted(
    request: HttpRequest, user: User | None, *, login: str, verify: Callable[[], bool], is_code: bool
) -> tuple[bool, bool]:
    """Return whether it is right, and whether this failure was the one that locks. Raises TooManyRequests."""
    address = client_address(request)
    who = str(user.pk) if user is not None else f"unknown:{digest(login)}"
    device = find_device_id(request, user)
    # A code hashes nothing, and comes after a password that was counted.
    sign_ins = [] if is_code else _sign_in_windows(who, address)
    if device is not None:
        # Not by address either: somebody else behind the same one may be guessing.
        failures = [Failures(f"device:{who}:{device}", settings.SIGN_IN_FAILURES_PER_ACCOUNT, locks=True)]
    else:
        failures = [
            Failures(f"address:{address}", settings.SIGN_IN_FAILURES_PER_ADDRESS, locks=False),
            Failures(f"account:{who}", settings.SIGN_IN_FAILURES_PER_ACCOUNT, locks=True),
        ]
        if is_code:
            failures.append(Failures(f"code:{who}", settings.SIGN_IN_FAILURES_PER_ACCOUNT, locks=True))
    with _counted_as_failed(failures) as attempts:
        is_right = verify()
    locked = [attempt.end(is_right) for attempt in attempts]
    for window, limit in sign_ins if is_right else ():
        if window.increment() > limit:
            raise _too_many_attempts(window.closes_in_s)
    return is_right, any(locked)


def _verify(user: User | None, password: str) -> bool:
    if user is None:
        # So that the time says nothing about whether there is an account.
        make_password(password)
        return False
    return user.check_password(password)


def _sign_in_windows(who: str, address: str) -> list[tuple[Window, int]]:
    """Return what successes are counted in, with their limits.

    Raises TooManyRequests where one is used up: nothing is hashed then.
    """
    limits = [
        (Window(f"sign_in:address:{address}"), settings.SIGN_INS_PER_ADDRESS),
        (Window(f"sign_in:account:{who}"), settings.SIGN_INS_PER_ACCOUNT),
    ]
    for window, limit in limits:
        if window.number >= limit:
            raise _too_many_attempts(window.closes_in_s)
    return limits


def _too_many_attempts(retry_after_s: int) -> TooManyRequests:
    minutes = math.ceil(retry_after_s / 60)
    text = ngettext(
        "Too many attempts to sign in. Try again in %(count)d minute.",
        "Too many attempts to sign in. Try again in %(count)d minutes.",
        minutes,
    )
    return too_many(retry_after_s, text % {"count": minutes})


# Failures


class Failures(NamedTuple):
    """Failed attempts in a minute of one account, device or address."""

    name: str
    limit: int
    # Whether the last failure allowed locks it, each time for longer; otherwise the window's end lets in again.
    locks: bool

    @property
    def _locked_until(self) -> str:
        return f"sign_in:locked:{self.name}"

    @property
    def _lockouts(self) -> str:
        return f"sign_in:lockouts:{self.name}"

    def locked_for_s(self) -> int:
        """Return the seconds until a lockout ends; 0: not locked."""
        until = cache.get(self._locked_until)
        return max(0, math.ceil(until - time.time())) if until else 0

    def lock(self) -> None:
        """Lock for twice as long as the last time, at most an hour."""
        lockouts = cache.get(self._lockouts, 0)
        lockout_s = min(LOCKOUT_S * 2 ** min(lockouts, 16), LONGEST_LOCKOUT_S)
        until = time.time() + lockout_s
        # By this machine's clock an older one is over, by the cache's perhaps not yet.
        if self.locked_for_s() == 0:
            cache.delete(self._locked_until)
        if cache.add(self._locked_until, until, lockout_s):
            cache.set(self._lockouts, lockouts + 1, LOCKOUTS_KEPT_S)
            logger.info("%s is locked for %d s after %d failed attempts to sign in", self.name, lockout_s, self.limit)

    def forget(self) -> None:
        """Delete counts and lockout."""
        window = Window(f"sign_in:failed:{self.name}")
        cache.delete_many([self._locked_until, self._lockouts, window.key])


class _Attempt(NamedTuple):
    """One attempt, counted as failed before the password is checked, so that simultaneous guesses are all counted."""

    failures: Failures
    window: Window
    number: int

    @classmethod
    def begin(cls, failures: Failures) -> "_Attempt":
        """Count an attempt. Raises TooManyRequests; then it is not counted."""
        locked_for_s = failures.locked_for_s() if failures.locks else 0
        if locked_for_s:
            raise _too_many_attempts(locked_for_s)
        window = Window(f"sign_in:failed:{failures.name}")
        number = window.increment()
        if number > failures.limit:
            window.take_back()
            raise _too_many_attempts(window.closes_in_s)
        return cls(failures, window, number)

    def end(self, is_right: bool) -> bool:
        """Uncount a right password; lock after the last failure allowed. Return whether it locked."""
        if is_right:
            self.window.take_back()
        elif self.failures.locks and self.number >= self.failures.limit:
            self.failures.lock()
            return True
        return False


@contextlib.contextmanager
def _counted_as_failed(failures: list[Failures]) -> Iterator[list[_Attempt]]:
    """Count an attempt as failed in all counters; if it is refused or breaks off, in none."""
    attempts = []
    with contextlib.ExitStack() as undo:
        for one in failures:
            attempt = _Attempt.begin(one)
            undo.callback(attempt.window.take_back)
            attempts.append(attempt)
        yield attempts
        undo.pop_all()


def forget_failures(user_id: int) -> None:
    """Let a locked account in again: it has a new password, which nobody has guessed at yet."""
    try:
        Failures(f"account:{user_id}", settings.SIGN_IN_FAILURES_PER_ACCOUNT, locks=True).forget()
    except RedisError as error:
        logger.warning("failed attempts to sign in are not forgotten: %s", error)


# Devices


class Device(NamedTuple):
    """That a browser has signed in to an account with the password it has now."""

    user_id: int
    device_id: str
    password_mark: str


def _mark(user: User) -> str:
    return user.get_session_auth_hash()[:16]


def _read_devices(request: HttpRequest) -> list[Device]:
    try:
        cookie = signing.loads(request.COOKIES.get(DEVICE_COOKIE, ""), salt=_DEVICE_SALT, max_age=DEVICE_KEPT_S)
    except signing.BadSignature:
        return []
    return [Device(*one) for one in cookie]


def find_device_id(request: HttpRequest, user: User | None) -> str | None:
    """Return the id of a device that has signed in to the account before; None: a stranger, as far as one can tell."""
    if user is None:
        return None
    for device in _read_devices(request):
        if device.user_id == user.pk and constant_time_compare(device.password_mark, _mark(user)):
            return device.device_id
    return None


def remember_device(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Give the browser that has just signed in the cookie by which it is known the next time."""
    device = Device(user.pk, find_device_id(request, user) or secrets.token_urlsafe(12), _mark(user))
    others = [one for one in _read_devices(request) if one.user_id != user.pk]
    response.set_cookie(
        DEVICE_COOKIE,
        signing.dumps([device, *others][:ACCOUNTS_PER_DEVICE], salt=_DEVICE_SALT, compress=True),
        max_age=DEVICE_KEPT_S,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
