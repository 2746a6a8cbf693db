"""Units of work in the database: retried transactions, and the thread pools of sockets and of the service's own loops.

Deadlocks and serialisation failures are part of PostgreSQL's contract, so a verb that runs in its own
transaction is repeated up to three times before its caller sees one.
"""

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection, transaction

logger = logging.getLogger("stepper.db.transactions")

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 3
# serialization_failure, deadlock_detected (PostgreSQL, appendix A)
_RETRIABLE = {"40001", "40P01"}


class Stale(Exception):
    """The row that told which rows to lock changed before it was locked (e.g. the trip got another driver).

    `in_transaction` runs the unit of work again.
    """


class _Unit(threading.local):
    """The rows that the unit of work of this thread writes at its end; None outside of a unit of work."""

    writes: list[tuple[Callable[[list[Any]], None], list[Any]]] | None = None


_unit = _Unit()


def write_at_end(write: Callable[[list[Any]], None], rows: list[Any]) -> None:
    """Keep rows that nobody reads before the commit; at the end of the unit of work `write` gets them all in one call.

    Outside of `in_transaction` they are written immediately.
    """
    if _unit.writes is None:
        write(rows)
    else:
        _unit.writes.append((write, rows))


@contextlib.contextmanager
def _deferred_writes() -> Iterator[None]:
    """Write the rows that a verb kept, at its end, in its transaction. Of nested verbs the outer one writes all."""
    outer = _unit.writes
    if outer is not None:
        kept = len(outer)
        try:
            yield
        except BaseException:
            del outer[kept:]  # its savepoint is rolled back
            raise
        return
    _unit.writes = []
    try:
        yield
        gathered: dict[Callable[[list[Any]], None], list[Any]] = {}
        for write, rows in _unit.writes:
            gathered.setdefault(write, []).extend(rows)
    finally:
        _unit.writes = None
    for write, rows in gathered.items():
        write(rows)


def in_transaction(verb: Callable[P, T]) -> Callable[P, T]:
    """Run `verb` in `atomic()`; run it again after a deadlock, a serialisation failure or `Stale`.

    Inside an outer transaction it cannot be repeated, so it runs once.
    """

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for retries_left in reversed(range(TRIES)):
            nested = connection.in_atomic_block
            try:
                with transaction.atomic(), _deferred_writes():
                    return verb(*args, **kwargs)
            except Stale:
                if nested or not retries_left:
                    raise
            except OperationalError as error:
                if nested or not retries_left or getattr(error.__cause__, "sqlstate", None) not in _RETRIABLE:
                    raise
        raise AssertionError("unreachable")

    return run


def best_effort(verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run `verb` after a commit; only log a failure of the database.

    The change is committed already, and the dispatcher does later what failed here.
    """
    try:
        verb(*args, **kwargs)
    except DatabaseError as error:
        logger.warning("%s is left to the dispatcher: %s", verb.__qualname__, error)


def isolate_failures(work: Callable[[list[int]], int], ids: list[int]) -> int:
    """Call `work` with all rows; if that fails, call it again once for each row, so that one bad row stops no other.

    Returns the sum of its results. The error of a single row is logged. Errors of the connection are raised.
    """
    if not ids:
        return 0
    try:
        return work(ids)
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        if len(ids) == 1:
            logger.exception("%s failed for row %d", getattr(work, "__name__", "work"), ids[0])
            return 0
    return sum(isolate_failures(work, [pk]) for pk in ids)


database_pool = ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="database")
# Only for the six loops of the service: deadlines and rounds; working time and watches; deletion of old rows; counting
# for the reports; the sweep of events; the flush of positions. Each uses one thread at a time, so each always finds a
# free one, whatever clients do.
service_pool = ThreadPoolExecutor(6, thread_name_prefix="service")


async def run_in_thread(func: Callable[..., T], *args: Any, pool: ThreadPoolExecutor = database_pool) -> T:
    """Run database work in a thread of a bounded pool, by default that of sockets.

    As Django does around a request: afterwards a connection to PostgreSQL goes back to its pool, and before and after
    it one that no longer serves is closed.

    Not `sync_to_async`: its default is one thread for the whole process.
    """

    def unit() -> T:
        close_old_connections()
        try:
            return func(*args)
        finally:
            close_old_connections()

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, context.run, unit)
