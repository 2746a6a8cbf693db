"""Being signed in without a form: the session that a sign-in leads to, opened once.

Django's `Client.force_login` opens a session, opens another in its place, deletes the first and saves what it has got:
half of the statements of each test that begins with it.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, user_logged_in
from django.contrib.sessions.backends import db
from django.http import HttpRequest
from django.test import Client

from stepper.accounts.confirmation import note_confirmed
from stepper.accounts.session_store import SessionStore
from stepper.models import User

_force_login = Client.force_login


def open_session(user: User) -> db.SessionStore:
    """Open a session that a server has not seen yet, and tell nobody of it; an earlier release kept no more in it."""
    session = db.SessionStore()
    _fill(session, user)
    note_confirmed(session)
    session.create()
    return session


def _fill(session: db.SessionStore, user: User) -> None:
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()


def force_login(client: Client, user: User, backend: str | None = None) -> None:
    """Sign somebody in; where the client has a session already, Django does it."""
    if backend is not None or settings.SESSION_COOKIE_NAME in client.cookies:
        _force_login(client, user, backend)
        return
    request = HttpRequest()
    request.session = SessionStore()
    _fill(request.session, user)
    user_logged_in.send(sender=type(user), request=request, user=user)
    request.session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = str(request.session.session_key)


def install() -> None:
    client: Any = Client
    client.force_login = force_login
