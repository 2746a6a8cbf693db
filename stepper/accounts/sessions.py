"""The sessions of an account: who is signed in where, and ending one, the others, or all of them.

A session is Django's row; what people want to know of it is an `AccountSession` beside it. allauth's own list of
sessions (`allauth.usersessions`) is not used: it knows only sessions that were opened through it, so "everywhere" would
leave out those of earlier releases; it loses a session whose key changes; it refuses a sign-in whose address is not
known; and it keeps "last seen" with two statements a request, or not at all.

Ending all sessions changes what they are bound to, as a new password does: so it ends also those of which there is no
`AccountSession`, with tokens and sockets. Whatever ends a session, `realtime.permissions` closes its sockets.
"""

import datetime as dt
import secrets
import time
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper import limits, security_log
from stepper.accounts.confirmation import note_confirmed, require_confirmed
from stepper.accounts.session_store import SIGNED_IN_AT, SessionStore
from stepper.accounts.staff import may_change
from stepper.db.transactions import in_transaction
from stepper.errors import NotFound, NotPermitted
from stepper.models import AccountSession, SecurityEventCode, User
from stepper.write_throttle import WriteThrottle

# In the session, which keeps it when its key changes: that it is a program's.
IS_PROGRAM = "is_program"

# A process writes at most so often that it has seen a session: a request or a heartbeat costs no statement otherwise.
SEEN_EVERY_S = 600
_seen = WriteThrottle(100_000)


# Keeping the list


def connect() -> None:
    """Note every sign-in, whichever way it comes."""
    user_logged_in.connect(_on_signed_in)


def _on_signed_in(request: HttpRequest, user: User, **_more: Any) -> None:
    session = request.session
    note_confirmed(session)
    if session.session_key is None:
        session.save()
    _forget_dead(user)
    mark_seen(session, address=request.META.get("REMOTE_ADDR", ""), user_agent=request.META.get("HTTP_USER_AGENT", ""))


def _forget_dead(user: User) -> None:
    """Delete what is left of sessions that a server of an earlier release, or SQL, has deleted or that have expired."""
    living = Session.objects.filter(session_key=OuterRef("session_id"), expire_date__gt=timezone.now())
    AccountSession.objects.filter(~Exists(living), user=user).delete()


def is_seen_due(session_key: str) -> bool:
    """Say whether this process has to write that it sees a session; if so, the caller does, and nobody else here."""
    return _seen.is_due(session_key, every_s=SEEN_EVERY_S, now=time.monotonic())


def mark_seen(session: SessionBase, *, address: str, user_agent: str) -> None:
    """Write that a session is used, and from where, unless this process has done so lately.

    Best effort: a request must not fail for it.
    """
    key = session.session_key
    if key is None or not is_seen_due(key):
        return
    seen: dict[str, Any] = {"last_seen_at": timezone.now(), "address": address[:45], "user_agent": _clean(user_agent)}
    try:
        if not AccountSession.objects.filter(session_id=key).update(**seen):
            _insert(session, key, seen)
    except DatabaseError:
        _seen.forget(key)


def mark_all_seen(session_keys: Iterable[str]) -> None:
    """Write that sessions whose sockets are open are in use."""
    AccountSession.objects.filter(session_id__in=list(session_keys)).update(last_seen_at=timezone.now())


def _insert(session: SessionBase, session_key: str, seen: dict[str, Any]) -> None:
    if SESSION_KEY not in session:  # it ended after the request was authenticated
        return
    signed_in_at = session.get(SIGNED_IN_AT)
    row = AccountSession(
        session_id=session_key,
        user_id=int(session[SESSION_KEY]),
        auth_hash=session.get(HASH_SESSION_KEY, ""),
        is_program=bool(session.get(IS_PROGRAM)),
        signed_in_at=dt.datetime.fromtimestamp(signed_in_at, dt.UTC) if signed_in_at else None,
        **seen,
    )
    # Two requests of a session that has no row yet may come at once.
    AccountSession.objects.bulk_create([row], ignore_conflicts=True)


def _clean(user_agent: str) -> str:
    return user_agent.replace("\x00", "")[: AccountSession._meta.get_field("user_agent").max_length]


# Reading and ending


def sessions_of(user: User) -> QuerySet[AccountSession]:
    """Return the sessions in which this account is signed in, the one last seen first."""
    return AccountSession.objects.living_of(user)


def end_session(user: User, session: SessionBase, session_id: int) -> None:
    """End one session of an account, with its tokens and sockets.

    `session` is the one in which the user asks for it; it may be the same.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        NotFound: session.not_found, it has ended, or is somebody else's.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("session.end", user.pk, setting="changes_per_min")
    row = AccountSession.objects.living_of(user).filter(pk=session_id).select_related("session").first()
    if row is None:
        raise NotFound("session.not_found", _("This session has ended already."))
    row.session.delete()
    security_log.count(SecurityEventCode.SESSION_ENDED, subject_id=user.pk)


def end_other_sessions(user: User, session: SessionBase) -> None:
    """End all sessions of an account but the one in which the user asks for it.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("session.end_all", user.pk, setting="changes_per_min")
    end_sessions_of(user.pk, keep=session)


def end_all_sessions(user: User, session: SessionBase) -> None:
    """End all sessions of an account, that in which the user asks for it too.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("session.end_all", user.pk, setting="changes_per_min")
    end_sessions_of(user.pk)


def end_sessions_by_staff(user_id: int, staff: User) -> None:
    """End all sessions of somebody's account, on behalf of staff who may change users.

    Raises:
        NotFound, NotPermitted: as `require_may_change`.
    """
    require_may_change(user_id, staff)
    end_sessions_of(user_id)


def require_may_change(user_id: int, staff: User) -> None:
    """Refuse unless these staff may change how an account is opened.

    Raises:
        NotFound: user.not_found.
        NotPermitted: auth.forbidden, the staff may not, or the account is a colleague's who has rights that they lack.
    """
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound("user.not_found", _("There is no such user."))
    if not (staff.has_perm("stepper.change_user") and may_change(user, staff)):
        raise NotPermitted("auth.forbidden", _("You may not do this to a colleague's account."))


@in_transaction
def end_sessions_of(user_id: int, *, keep: SessionBase | None = None) -> None:
    """End the sessions of an account, whether they have an `AccountSession` or not.

    1. Change what they are bound to: those open now are worth nothing, and their sockets look again.
    2. Bind the one to keep to that.
    3. Delete the others' rows, which open nothing any more.
    """
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    user.bind_sessions_to(secrets.token_hex(32))
    if keep is not None:
        _keep(keep, user)
    ended = Session.objects.filter(account_session__user=user)
    if keep is not None:
        ended = ended.exclude(session_key=keep.session_key)
    ended.delete()
    security_log.record(SecurityEventCode.SESSIONS_ENDED, subject_id=user.pk)


def _keep(session: SessionBase, user: User) -> None:
    """Bind a session to what those of its account are bound to now. Its key, and so its tokens and sockets, stay."""
    auth_hash = user.get_session_auth_hash()
    set_stored(session, HASH_SESSION_KEY, auth_hash)
    AccountSession.objects.filter(session_id=session.session_key).update(auth_hash=auth_hash)


@in_transaction
def set_stored(session: SessionBase, name: str, value: Any) -> None:
    """Set one value in a session and in its row now, leaving everything else that is stored there as it is.

    The row is locked: a program may be using up a refresh token meanwhile, which is kept in the session as well. Where
    the session has ended nothing is stored.
    """
    session[name] = value
    key = session.session_key
    if key is not None and Session.objects.select_for_update().filter(session_key=key).exists():
        stored = SessionStore(key)
        stored[name] = value
        stored.save()
