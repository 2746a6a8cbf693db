"""When a session ends: SESSION_COOKIE_AGE after signing in.

Staff's ends STAFF_SESSION_S after signing in, and STAFF_SESSION_IDLE_S after the last request of a page or program, or
the last command over a socket. A page that is open and only shows what happens is no activity: its reader may be gone.

Django ends a session so long after it was last saved, and refreshing a token saves it: whoever had a refresh token
could stay for ever. Which sessions are staff's stands in the session, so that saving one for another reason does not
prolong it. The cookie lasts as long as the session may; the row decides.
"""

import datetime as dt
import math
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions import middleware
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from stepper.write_throttle import WriteThrottle

# In the session: when it was opened (Unix time), and that it is staff's.
SIGNED_IN_AT = "signed_in_at"
# In one of an earlier release, which did not keep that: when that release last saved it.
SAVED_BEFORE_AT = "saved_before_at"
IS_STAFF = "is_staff"

# A request with this header is a page's own, such as one that fetches what has just happened: nobody did anything.
AUTOMATIC = "X-Automatic"

# Sent with `old` and `new` while both rows are there: what belongs to a session goes along with it.
session_key_changed = Signal()

# A process writes at most so often that a session is in use; more often where a session ends sooner.
TOUCHED_EVERY_S = 60
_touched = WriteThrottle(10_000)


class SessionStore(db.SessionStore):
    """Django's sessions in the database, with an end that no saving puts off."""

    def load(self) -> dict[str, Any]:
        """Read the session; one of an earlier release ends when it would have ended there.

        What counted from its first saving here would give it as long again shortly before its end.
        """
        data: dict[str, Any] = super().load()
        if SESSION_KEY in data and not data.keys() & {SIGNED_IN_AT, SAVED_BEFORE_AT}:
            ends_at = Session.objects.filter(pk=self.session_key).values_list("expire_date", flat=True).first()
            if ends_at is not None:
                data[SAVED_BEFORE_AT] = int(ends_at.timestamp()) - settings.SESSION_COOKIE_AGE
        return data

    def _get_session_from_db(self) -> Session | None:
        """Read the row as Django does, in less than half of its time: every request of a browser begins with it."""
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        query = "SELECT * FROM django_session WHERE session_key = %s AND expire_date > %s"
        row = next(iter(Session.objects.raw(query, [self.session_key, now])), None)
        if row is None:
            self._session_key = None
        return row

    def cycle_key(self) -> None:
        """Give the session another key, as Django does, and say so before the old one is deleted."""
        data, old = self._session, self.session_key  # type: ignore[attr-defined]
        self.create()
        self._session_cache = data
        if old:
            session_key_changed.send(SessionStore, old=old, new=self.session_key)
            self.delete(old)

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Return for how many seconds the cookie is kept: until the end, whatever happens in between."""
        age: int = super().get_expiry_age(**kwargs)
        ends_at = self._ends_at()
        return age if ends_at is None else max(0, min(age, int((ends_at - timezone.now()).total_seconds())))

    def get_expiry_date(self, **kwargs: Any) -> dt.datetime:
        """Return when the row expires, if nothing happens before."""
        date: dt.datetime = super().get_expiry_date(**kwargs)
        ends_at = self._ends_at()
        date = date if ends_at is None else min(date, ends_at)
        if not self.get(IS_STAFF):
            return date
        return min(date, timezone.now() + dt.timedelta(seconds=settings.STAFF_SESSION_IDLE_S))

    def save(self, must_create: bool = False) -> None:
        """Save as Django does; a session that says nothing of when it was opened counts from now on."""
        if SESSION_KEY in self and SIGNED_IN_AT not in self and SAVED_BEFORE_AT not in self:
            self[SIGNED_IN_AT] = int(time.time())
        super().save(must_create)

    def _ends_at(self) -> dt.datetime | None:
        begins_at = self.get(SIGNED_IN_AT, self.get(SAVED_BEFORE_AT))
        if begins_at is None:
            return None
        longest_s = min(settings.STAFF_SESSION_S if self.get(IS_STAFF) else math.inf, settings.SESSION_COOKIE_AGE)
        return dt.datetime.fromtimestamp(begins_at + longest_s, dt.UTC)


class SessionMiddleware(middleware.SessionMiddleware):
    """Django's, which tells browsers to forget a session's cookie when it has ended; here only signing out does.

    While a session gets another key (a confirmation, a new password) the browser's other requests are on their way
    with the old one. Django would answer those with a deletion of the cookie, which is the new key's by then. A cookie
    that is left names no session; signing in replaces it.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = super().process_response(request, response)
        if request.session.is_empty() and not getattr(request, "is_signed_out", False):
            response.cookies.pop(settings.SESSION_COOKIE_NAME, None)
        return response


class StaffIdleMiddleware:
    """Keep staff's session alive while it is used."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        session = request.session
        # Whoever has not read the session has not asked who it is.
        if session.accessed and request.user.is_authenticated and request.user.is_staff:
            is_due = AUTOMATIC not in request.headers and is_touch_due(session.session_key)
            if IS_STAFF not in session:
                session[IS_STAFF] = True
            elif is_due and not session.modified:
                Session.objects.filter(pk=session.session_key).update(expire_date=session.get_expiry_date())
        return response


def keep_program_of_staff(session_key: str) -> None:
    """Keep the session of a program of staff alive while its tokens are used, as StaffIdleMiddleware a browser's."""
    if is_touch_due(session_key):
        keep_session_of_staff(session_key)


def keep_session_of_staff(session_key: str) -> None:
    """Write that a session of staff is in use.

    Under the row's lock: another request may replace the refresh token in the session's data at this moment.
    """
    with transaction.atomic():
        if not Session.objects.select_for_update().filter(pk=session_key).exists():
            return
        session = SessionStore(session_key)
        if IS_STAFF in session:
            Session.objects.filter(pk=session_key).update(expire_date=session.get_expiry_date())
        else:  # whose owner has become staff, or of an earlier release
            session[IS_STAFF] = True
            session.save()


def is_touch_due(session_key: str | None) -> bool:
    """Say whether this process has to write that a session of staff is in use; if so, the caller does."""
    every_s = min(TOUCHED_EVERY_S, settings.STAFF_SESSION_IDLE_S / 4)
    return session_key is not None and _touched.is_due(session_key, every_s=every_s, now=time.time())


def connect() -> None:
    """Note when a session was opened, and who signs out; called once, when Django has loaded the apps."""
    user_logged_in.connect(_note_signed_in, dispatch_uid="stepper.accounts.session_store")
    user_logged_out.connect(_note_signed_out, dispatch_uid="stepper.accounts.session_store")


def _note_signed_in(request: HttpRequest, **_more: Any) -> None:
    request.session[SIGNED_IN_AT] = int(time.time())
    request.session.pop(SAVED_BEFORE_AT, None)
    request.session.pop(IS_STAFF, None)
    # A stranger's session ends sooner (trips.drafts); from here on it is an account's.
    request.session.set_expiry(None)


def _note_signed_out(request: HttpRequest, **_more: Any) -> None:
    request.is_signed_out = True  # type: ignore[attr-defined]
