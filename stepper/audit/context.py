"""Who acts at present, for the audit log: the member of staff behind a request, a command, or a part of the service.

Passengers, drivers and the service's ordinary work are nobody here, so nothing of theirs is audited. Importing this
imports no model: `manage.py` does so before Django is set up.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

# Commands by which an operator changes rows; the others run the service, or look after the database.
COMMANDS = frozenset(
    {"changepassword", "createsuperuser", "import_places", "loaddata", "remove_second_factor", "shell"}
)


@dataclass(frozen=True)
class Actor:
    """Who acts. `user_id` None: the system, and `via` says which part of it."""

    user_id: int | None
    address: str
    via: str


_acting: ContextVar[HttpRequest | Actor | None] = ContextVar("stepper.audit.acting", default=None)


@contextlib.contextmanager
def in_request(request: HttpRequest) -> Iterator[None]:
    """Attribute what this thread does to whoever is signed in to a request, if they are staff."""
    token = _acting.set(request)
    try:
        yield
    finally:
        _acting.reset(token)


@contextlib.contextmanager
def by_system(via: str) -> Iterator[None]:
    """Attribute what this thread does to a part of the service, which is more than its ordinary work."""
    token = _acting.set(Actor(None, "", via))
    try:
        yield
    finally:
        _acting.reset(token)


@contextlib.contextmanager
def by_command(argv: Sequence[str]) -> Iterator[None]:
    """Attribute what a command line does to it, if it is one by which an operator changes rows."""
    name = argv[1] if len(argv) > 1 else ""
    with by_system(f"command {name}") if name in COMMANDS else contextlib.nullcontext():
        yield


def is_anybody_acting() -> bool:
    """Say whether there is a request or a part of the system to attribute to, without asking who is signed in."""
    return _acting.get() is not None


def find_actor() -> Actor | None:
    """Return who acts; None: nobody whose doing is audited. May read the session and the account of the request."""
    acting = _acting.get()
    return acting if acting is None or isinstance(acting, Actor) else actor_of(acting)


def actor_of(request: Any) -> Actor | None:
    """Return the member of staff behind a request, of Django or of the REST framework; None: it is nobody of them."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.is_staff:
        return None
    return Actor(user.pk, request.META.get("REMOTE_ADDR", "")[:45], _name(request))


def _name(request: Any) -> str:
    """Name what was asked for, without what the address has of people: the URL's name, and the action of a list."""
    match = getattr(request, "resolver_match", None)
    name = match.view_name if match is not None and match.view_name else ""
    action = request.POST.get("action", "") if request.method == "POST" and name.startswith("admin:") else ""
    return f"{name} {action}".strip()[:100]
