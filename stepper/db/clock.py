"""The database's clock, which decides on deadlines: processes on several machines need not agree on the time.

Statements compare with `Now()`. What Python compares with, sends or shows is `database_now()`: this process's clock,
corrected by the difference that was measured last. A server measures it with each sweep of the outbox, four times a
second; other processes only where they call `read_database_now`, and take both clocks for equal until then.
"""

import datetime as dt

from django.db import connection
from django.utils import timezone

# The database's clock minus this process's.
_ahead = dt.timedelta()
# SQLite tells milliseconds.
_PRECISION = dt.timedelta(milliseconds=1)
# An answer that took longer says too little about when the database read its clock.
_LONGEST = dt.timedelta(seconds=1)
# The SQL of an instant that `set_by_answer` takes; it is that of the statement, not of the transaction's begin.
NOW_SQL = {"postgresql": "statement_timestamp()", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')"}


def database_now() -> dt.datetime:
    """Return the time by the database's clock, without asking it."""
    # `timezone.now` reads a setting first, which takes three times as long: this runs for every position.
    return dt.datetime.now(dt.UTC) + _ahead


def read_database_now() -> dt.datetime:
    """Ask the database for the time; one query."""
    asked_at = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {NOW_SQL[connection.vendor]}")
        return set_by_answer(cursor.fetchone()[0], asked_at)


def set_by_answer(answer: dt.datetime | str, asked_at: dt.datetime) -> dt.datetime:
    """Measure the difference of the clocks by the answer to NOW_SQL; return it as an instant.

    `asked_at` is by this process's clock: the database read its own between then and now. A difference that the answer
    allows stays as it is, so that clocks that agree stay equal and time does not jump back and forth.
    """
    global _ahead
    now = dt.datetime.fromisoformat(answer).replace(tzinfo=dt.UTC) if isinstance(answer, str) else answer
    answered_at = timezone.now()
    least, most = now - answered_at - _PRECISION, now - asked_at + _PRECISION
    if answered_at - asked_at <= _LONGEST and not least <= _ahead <= most:
        _ahead = (least + most) / 2
    return now


def forget() -> None:
    """Take both clocks for equal again."""
    global _ahead
    _ahead = dt.timedelta()
