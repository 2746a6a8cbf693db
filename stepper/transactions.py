"""Units of work in the database: retried transactions, and the thread pool that sockets and dispatcher use.

Deadlocks and serialisation failures are part of PostgreSQL's contract, so a verb that runs in its own
transaction is repeated up to three times before its caller sees one.
"""

import asyncio
import contextvars
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection, transaction

logger = logging.getLogger("stepper.transactions")

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 3
# serialization_failure, deadlock_detected (PostgreSQL, appendix A)
_RETRIABLE = {"40001", "40P01"}


class Stale(Exception):
    """What decided the lock order changed before the lock was held; the unit is run again."""


def in_transaction(verb: Callable[P, T]) -> Callable[P, T]:
    """Runs `verb` in `atomic()`, again when the database or the verb (by `Stale`) asks for it.

    Inside somebody else's transaction it cannot be repeated, so it runs once.
    """

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for left in reversed(range(TRIES)):
            nested = connection.in_atomic_block
            try:
                with transaction.atomic():
                    return verb(*args, **kwargs)
            except Stale:
                if nested or not left:
                    raise
            except OperationalError as error:
                if nested or not left or getattr(error.__cause__, "sqlstate", None) not in _RETRIABLE:
                    raise
        raise AssertionError("unreachable")

    return run


def afterwards(verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
    """Does now, after a commit, what the dispatcher would do later anyway.

    What was committed stands, so a database that fails now is no fault of the change that led here.
    """
    try:
        verb(*args, **kwargs)
    except DatabaseError as error:
        logger.warning("%s is left to the dispatcher: %s", verb.__qualname__, error)


def each_alone_where_needed(work: Callable[[list[int]], int], ids: list[int]) -> int:
    """`work` over all rows at once; where that fails over each alone, so that one bad row costs the others nothing.

    What is wrong with a row is logged. A database that is away is the caller's to wait for.
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
    return sum(each_alone_where_needed(work, [pk]) for pk in ids)


database_pool = ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="database")


async def in_thread(func: Callable[..., T], *args: Any, pool: ThreadPoolExecutor = database_pool) -> T:
    """Runs database work in a bounded pool (that of sockets and dispatcher), its connection returned afterwards.

    Not `sync_to_async`: its default is one thread for the whole process.
    """

    def unit() -> T:
        try:
            return func(*args)
        finally:
            close_old_connections()

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, context.run, unit)
