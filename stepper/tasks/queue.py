"""The queues, and adding to them: a row written in the transaction that causes the work, so nothing is lost with it.

A task is a function with `@task(queue_name=…)` that takes what was enqueued as keyword arguments. It raises `TryAgain`
(stepper.tasks.worker) for what may succeed later; whatever else it raises is final. It may run twice: its process may
have been killed at its end.
"""

import dataclasses
import datetime as dt
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django_tasks.base import Task
from django_tasks_db.models import DBTaskResult, get_date_max

from stepper.db.transactions import write_at_end
from stepper.tasks.sealing import seal
from stepper.tasks.worker import QUEUES, worker

BACKEND = "default"


@dataclasses.dataclass(frozen=True)
class Work:
    """A call of a task. `host`: where it will wait for a network; `until`: when it is worth nothing any more."""

    task: Task[..., None]
    data: Mapping[str, Any]
    host: str = ""
    until: dt.datetime | None = None
    priority: int = 0


def enqueue(*works: Work) -> None:
    """Write tasks to their queues, in the current transaction; they are begun once it commits."""
    rows = [_row(work) for work in works]
    if rows:
        write_at_end(_insert, rows)


def waiting(queue: str, *, most: int) -> int:
    """Count the tasks of a queue that have not begun, up to `most`."""
    return DBTaskResult.objects.filter(queue_name=queue, status="READY").order_by()[:most].count()


def ordered_id(at: float) -> uuid.UUID:
    """Make an id that sorts by the time (as of UUID version 7), so that old rows are found by it."""
    return uuid.UUID(int=int(at * 1000) << 80 | secrets.randbits(80))


def _row(work: Work) -> DBTaskResult[..., None]:
    kwargs = {
        "host": work.host,
        "until": None if work.until is None else work.until.timestamp(),
        "sealed": seal(work.data),
    }
    return DBTaskResult(
        id=ordered_id(time.time()),
        args_kwargs={"args": [], "kwargs": kwargs},
        priority=work.priority,
        task_path=work.task.module_path,
        queue_name=work.task.queue_name,
        backend_name=BACKEND,
        # The library's "at once".
        run_after=get_date_max(),
    )


def _insert(rows: list[DBTaskResult[..., None]]) -> None:
    DBTaskResult.objects.bulk_create(rows)
    transaction.on_commit(lambda: _wake({row.queue_name for row in rows}), robust=True)


def _wake(names: set[str]) -> None:
    for queue in QUEUES:
        if queue.name in names:
            worker.wake(queue)
