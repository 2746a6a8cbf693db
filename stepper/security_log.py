"""Writing the security log: changes in their transaction, what clients can repeat at will counted together.

- `record` is for changes that few may make (rights, settings): one row each, in the transaction of the change, so that
  the log says no more and no less than what was committed.
- `count` is for what clients cause as often as they like (signing in, failing to): collected while a request runs and
  written when it ends, outside its transactions, so that no rollback takes a failure away. What is alike in event,
  account or login, and network is one row a minute, refreshed tokens one in `REFRESHED_S`.

What strangers can cause without a password, failures and refusals (`LIMITED`), has budgets of rows: a minute
`ROWS_PER_NETWORK` for each network and `ROWS_PER_MIN` in all. What is beyond the first is counted in one row of the
network and kind of event, beyond the second in one row of the kind. So a flood does not fill the disk, and one from a
single network does not hide what others do. Everything else keeps its names whatever happens: successes and changes
need a password or a session, and are limited where they are made.

The log is best effort: an event that cannot be written is a line in the process's log instead. Otherwise a full disk or
a missing table would keep drivers from signing in, and staff from suspending whoever caused it. Counters are in the
cache; while Redis is away nothing is counted together, and nobody signs in (`stepper.accounts.sign_in`).
"""

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError

from stepper.limits import HOUR_S, WINDOW_S, Window
from stepper.models import SecurityEvent, SecurityEventCode, SecurityTransport
from stepper.phones import normal_phone
from stepper.server.logs import escape_control_characters
from stepper.server.proxies import network_of

logger = logging.getLogger("stepper.security_log")

# Rows of `LIMITED` in a minute, of all processes together and of one network; as many lines in the process's log.
ROWS_PER_MIN = 120
ROWS_PER_NETWORK = 20
# Programs refresh their tokens for as long as they run, thousands of them each hour.
REFRESHED_S = 6 * HOUR_S
# Of one account in that time; beyond, one row without address. A phone changes its network a few times a day.
REFRESHED_FROM = 4
# Up to this number each one is counted in the row at once; beyond only at powers of two, as each costs a statement.
COUNTED_EXACTLY = 64
# Events of one request that are kept until it ends.
EVENTS_PER_REQUEST = 20
DETAILS_LENGTH = 500
# A row's key is kept longer than the time in which events are alike.
ROW_KEPT_LONGER_S = 60
# In the cache instead of a row's key: events like this one got none of their own.
_TOO_MANY = 0
OVERFLOW = "Too many in a minute; these are not told apart."
REFRESHED = f"all of {REFRESHED_S // HOUR_S} hours"

# What clients can cause without having proved anything.
LIMITED = {
    SecurityEventCode.SIGN_IN_FAILED,
    SecurityEventCode.SIGN_IN_REFUSED,
    SecurityEventCode.SIGN_IN_LOCKED,
    SecurityEventCode.PASSWORD_RESET_REQUESTED,
    SecurityEventCode.PHONE_CODE_SENT,
    SecurityEventCode.PERMISSION_REFUSED,
}

# A line in the process's log, too, so that what watches that sees attacks.
LOGGED = {
    SecurityEventCode.SIGN_IN_FAILED,
    SecurityEventCode.SIGN_IN_REFUSED,
    SecurityEventCode.SIGN_IN_LOCKED,
    SecurityEventCode.TOKEN_REUSED,
    SecurityEventCode.PERMISSION_REFUSED,
}


@dataclass(frozen=True)
class _Counted:
    """An event that is counted together with others like it."""

    row: SecurityEvent
    # What is alike has the same.
    key: str
    # For how long, from the first one on.
    window_s: int = WINDOW_S
    # Rows that may be written: by the name of their counter, how many in that time.
    budgets: tuple[tuple[str, int], ...] = ()
    # Where one of them is used up this is counted instead, with one fewer of the names.
    beyond: "_Counted | None" = None


@dataclass(frozen=True)
class _Collected:
    """The request that runs in this thread, and its events until it ends."""

    request: HttpRequest
    events: list[_Counted]


_current: ContextVar[_Collected | None] = ContextVar("stepper.security_log", default=None)


@contextlib.contextmanager
def collect(request: HttpRequest) -> Iterator[None]:
    """Attribute events of this thread to a request, and write those of `count` when it ends."""
    collected = _Collected(request, [])
    token = _current.set(collected)
    try:
        yield
    finally:
        _current.reset(token)
        for event in collected.events:
            _write_counted(event)


def record(
    code: SecurityEventCode, *, subject_id: int | None = None, actor_id: int | None = None, details: str = ""
) -> None:
    """Write one event in the present transaction; `actor_id` None: whoever is signed in to the present request."""
    row = _event(code, subject_id=subject_id, actor_id=actor_id, login="", details=details)
    _insert(row)


def count(
    code: SecurityEventCode,
    *,
    subject_id: int | None = None,
    actor_id: int | None = None,
    login: str = "",
    details: str = "",
) -> None:
    """Count one event; without a request, as in a command, it is written at once.

    `login` is what was typed where no account has it; its digest is stored.
    """
    event = _counted(_event(code, subject_id=subject_id, actor_id=actor_id, login=login, details=details))
    current = _current.get()
    if current is None:
        _write_counted(event)
    elif len(current.events) < EVENTS_PER_REQUEST:
        current.events.append(event)


def is_password_reset() -> bool:
    """Return whether the present request came by the link of a mail that sets a password."""
    current = _current.get()
    match = current.request.resolver_match if current is not None else None
    return match is not None and match.url_name == "account_reset_password_from_key"


def login_digest(login: str) -> str:
    """Digest a login as it would be stored, with the secret key: phone numbers would be found from a plain digest."""
    login = login.strip().lower()
    login = login if "@" in login else normal_phone(login) or login
    return salted_hmac("stepper.security_log.login", login, algorithm="sha256").hexdigest()[:32]


def _event(
    code: SecurityEventCode, *, subject_id: int | None, actor_id: int | None, login: str, details: str
) -> SecurityEvent:
    current = _current.get()
    request = current.request if current is not None else None
    return SecurityEvent(
        at=timezone.now(),
        event=code,
        actor_id=actor_id if actor_id is not None or request is None else _signed_in_id(request),
        subject_id=subject_id,
        login_digest=login_digest(login) if login else "",
        address=escape_control_characters(request.META.get("REMOTE_ADDR", ""))[:45] if request is not None else "",
        transport=_transport(request),
        details=escape_control_characters(details)[:DETAILS_LENGTH],
    )


def _signed_in_id(request: HttpRequest) -> int | None:
    user = getattr(request, "user", None)
    try:
        return user.pk if user is not None else None
    except (DatabaseError, RedisError):  # read only now; the event says at least the rest
        return None


def _transport(request: HttpRequest | None) -> SecurityTransport:
    if request is None:
        return SecurityTransport.SERVER
    if request.path_info.startswith("/api/"):
        return SecurityTransport.REST
    return SecurityTransport.ADMIN if request.path_info.startswith("/admin/") else SecurityTransport.PAGE


def _counted(row: SecurityEvent) -> _Counted:
    """Say what an event is counted together with, and which budgets its row is written on."""
    who = row.subject_id if row.subject_id is not None else row.login_digest
    network = network_of(row.address)
    key = f"security_log:{row.event}:{who}:{row.actor_id}:{network}"
    if row.event == SecurityEventCode.TOKEN_REFRESHED:
        row.details = REFRESHED
        rest = _copy(row, actor_id=row.actor_id, subject_id=row.subject_id, details=f"{REFRESHED}, from more networks")
        beyond = _Counted(rest, f"security_log:{row.event}:{who}:rest", REFRESHED_S)
        return _Counted(row, key, REFRESHED_S, ((f"security_log:{row.event}:{who}:rows", REFRESHED_FROM),), beyond)
    if row.event not in LIMITED:
        return _Counted(row, key)
    in_all = ("security_log:limited", ROWS_PER_MIN)
    of_kind = _Counted(_copy(row, details=OVERFLOW), f"security_log:{row.event}:rest")
    of_network = _Counted(
        _copy(row, address=row.address, details=OVERFLOW),
        f"security_log:{row.event}:rest:{network}",
        budgets=(in_all,),
        beyond=of_kind,
    )
    return _Counted(
        row, key, budgets=((f"security_log:limited:{network}", ROWS_PER_NETWORK), in_all), beyond=of_network
    )


def _copy(row: SecurityEvent, **names: Any) -> SecurityEvent:
    return SecurityEvent(at=row.at, event=row.event, transport=row.transport, **names)


def _write_counted(event: _Counted) -> None:
    """Insert the row of the first event of its kind in a minute, and the number of those after it into that row."""
    row_key = f"{event.key}:row"
    try:
        number = Window(event.key, event.window_s).increment()
        if number > 1:
            # None: another process is inserting the row, or could not.
            row_id = cache.get(row_key)
            if row_id == _TOO_MANY and event.beyond is not None:
                _write_counted(event.beyond)
            elif row_id is not None and (number <= COUNTED_EXACTLY or number.bit_count() == 1):
                _update_count(row_id, number)
            return
        spent = any(Window(name, event.window_s).increment() > most for name, most in event.budgets)
        if spent and event.beyond is not None:
            cache.set(row_key, _TOO_MANY, event.window_s + ROW_KEPT_LONGER_S)
            _write_counted(event.beyond)
            return
    except RedisError as error:
        logger.warning("security events are not counted together: %s", error)
    if event.row.event in LOGGED:
        logger.info("%s", describe(event.row))
    if _insert(event.row):
        with contextlib.suppress(RedisError):
            cache.set(row_key, event.row.pk, event.window_s + ROW_KEPT_LONGER_S)


def _update_count(row_id: int, number: int) -> None:
    try:
        with transaction.atomic():
            SecurityEvent.objects.filter(pk=row_id, count__lt=number).update(count=number)
    except DatabaseError as error:
        logger.warning("the security log could not be written (%s): %d times", error, number)


def _insert(row: SecurityEvent) -> bool:
    """Insert a row, under a savepoint where a transaction runs, which a failure must not end. Return whether it is."""
    try:
        with transaction.atomic():
            row.save(force_insert=True)
        return True
    except DatabaseError as error:
        logger.warning("the security log could not be written (%s): %s", error, describe(row))
        return False


def describe(row: SecurityEvent) -> str:
    """Write an event as one line, with numbers of accounts instead of names."""
    parts = [
        row.event,
        *([f"account {row.subject_id}"] if row.subject_id is not None else []),
        *([f"login {row.login_digest}"] if row.login_digest else []),
        *([f"by {row.actor_id}"] if row.actor_id is not None else []),
        *([f"from {row.address}"] if row.address else []),
        f"({row.transport})",
        *([row.details] if row.details else []),
    ]
    return " ".join(parts)
