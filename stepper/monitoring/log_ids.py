"""The ids that lines of the log and faults carry: of the request or the socket, the account, the trip, the driver.

Ids alone, never what they stand for: what is written here leaves the process.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

NAMES = ("request_id", "socket_id", "account_id", "trip_id", "driver_id", "offer_id")

_ids: ContextVar[Mapping[str, str | int]] = ContextVar("log_ids", default={})  # noqa: B039 - never changed in place


def current() -> Mapping[str, str | int]:
    """Return the ids of what this task or thread works on."""
    return _ids.get()


def note(**ids: str | int | None) -> None:
    """Add ids, until this task or thread ends; None adds nothing."""
    _ids.set({**_ids.get(), **{name: value for name, value in ids.items() if value is not None}})


def begin(**ids: str | int | None) -> None:
    """Forget the ids of whoever started this task, and note others."""
    _ids.set({name: value for name, value in ids.items() if value is not None})


@contextmanager
def noted(**ids: str | int | None) -> Iterator[None]:
    """Note ids inside the `with` block."""
    token = _ids.set({**_ids.get(), **{name: value for name, value in ids.items() if value is not None}})
    try:
        yield
    finally:
        _ids.reset(token)
