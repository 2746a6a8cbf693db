"""Working off the queues: a few threads for each, inside a server or in `manage.py db_worker`.

Each queue has threads of its own, and at most so many of them wait for one host: what hangs delays neither other hosts,
nor the other queue, nor requests. A task that was running when its process was killed is begun again by whichever
worker looks next, once it has been running for longer than any can; as often as one that fails.

Nothing that happens to a task or the database ends a thread: without its threads a queue would stand until the next
start.
"""

import dataclasses
import datetime as dt
import logging
import os
import socket
import threading
import time
import traceback
from collections import Counter
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.db.models import QuerySet
from django.utils import timezone
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult, get_date_max

from stepper.db.transactions import in_transaction
from stepper.monitoring import figures
from stepper.tasks.sealing import unseal

logger = logging.getLogger("stepper.tasks.worker")

Row = DBTaskResult[..., None]

# How soon a worker sees what another process has enqueued.
POLL_S = 0.5
# The pause after a failure of the database.
AWAY_S = 1.0
RECLAIM_S = 5.0
# A server that stops works for at most so long on what is ready; the rest waits for the next start.
STOP_S = 4.0
_NOTHING: Final[dict[str, Any]] = {"args": [], "kwargs": {}}


class TryAgain(Exception):
    """What a task raises when it may succeed later. `after_s`: the other side asked to be left alone for so long."""

    def __init__(self, reason: object = "", *, after_s: float = 0) -> None:
        super().__init__(str(reason))
        self.after_s = after_s


@dataclasses.dataclass(frozen=True)
class Queue:
    """A way to people outside of this service."""

    name: str
    # In the log, of one that failed.
    noun: str
    threads: int
    threads_per_host: int
    # Between the first attempt and the second, and so on; after the last one it is given up.
    pauses_s: tuple[float, ...]
    # A task ends within this; one that runs longer was that of a process that is gone.
    longest_s: float
    # Whether a process that works off no queue (a shell, a command) does it at once, instead of leaving it to others.
    runs_anywhere: bool = False


MAIL: Final = Queue("mail", "a mail", 2, 2, (10, 30, 120, 300), longest_s=300, runs_anywhere=True)
PUSH: Final = Queue("push", "a push", 4, 2, (2, 5, 10, 20, 40, 80, 300, 900), longest_s=30)
# A code is worth nothing after ten minutes, and an SMS costs money: few attempts, soon after one another.
SMS: Final = Queue("sms", "an SMS", 2, 2, (3, 10, 30), longest_s=30, runs_anywhere=True)
QUEUES: Final = (MAIL, PUSH, SMS)


def run_task(row: Row, queue: Queue) -> None:
    """Run a task that was claimed and write how it ended.

    What fails is logged without its text, which can name the recipient or quote the mail.
    """
    kwargs = row.args_kwargs.get("kwargs", {})
    until: float | None = kwargs.get("until")
    if until is not None and time.time() >= until:
        _finish(row, TaskResultStatus.FAILED, "expired")
        _count(queue, "expired")
        return
    try:
        row.task.func(**unseal(kwargs["sealed"]))
    except TryAgain as later:
        _put_back(row, queue, later, until)
    except Exception as error:  # noqa: BLE001 - the task is lost, the thread and the change that led here are not
        logger.warning("%s was not sent: %s", queue.noun, _describe(error))
        _finish(row, TaskResultStatus.FAILED, type(error).__qualname__)
        _count(queue, "failed")
    else:
        _finish(row, TaskResultStatus.SUCCESSFUL)
        _count(queue, "sent")


def _count(queue: Queue, outcome: str) -> None:
    figures.count_after_commit(figures.TASKS, queue=queue.name, outcome=outcome)


def _put_back(row: Row, queue: Queue, later: TryAgain, until: float | None) -> None:
    """Have the task begin again after a pause, unless it has been tried often enough, or is worth nothing by then."""
    what = _describe(later.__cause__ or later)
    attempts = len(row.worker_ids)
    pause_s = max(queue.pauses_s[attempts - 1], later.after_s) if attempts <= len(queue.pauses_s) else None
    if pause_s is None or (until is not None and time.time() + pause_s >= until):
        logger.warning("%s was not sent: %s; given up after %d attempts", queue.noun, what, attempts)
        _finish(row, TaskResultStatus.FAILED, type(later.__cause__ or later).__qualname__)
        _count(queue, "failed")
        return
    logger.warning("%s was not sent: %s; again in %d s", queue.noun, what, pause_s)
    run_after = timezone.now() + dt.timedelta(seconds=pause_s)
    _mine(row).update(status=TaskResultStatus.READY, run_after=run_after)
    _count(queue, "again")


def _finish(row: Row, status: TaskResultStatus, reason: str = "") -> None:
    """Write the outcome; what was to be sent is not kept."""
    _mine(row).update(
        status=status, finished_at=timezone.now(), exception_class_path=reason, args_kwargs=_NOTHING, return_value=None
    )


def _mine(row: Row) -> "QuerySet[Row]":
    """Find the row, unless another worker took it for that of a process which is gone."""
    return DBTaskResult.objects.filter(pk=row.pk, status=TaskResultStatus.RUNNING, started_at=row.started_at)


def _describe(error: BaseException) -> str:
    """Name an error by its type, its number and the line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({frames[-1].name}:{frames[-1].lineno})" if frames else ""
    code = getattr(error, "smtp_code", None) or getattr(error, "errno", None)
    return f"{type(error).__name__}{f' {code}' if code else ''}{at}"


def _host_of(row: Row) -> str:
    """Return the host that a task waits for; of one that is malformed, and will fail, none."""
    host: str = row.args_kwargs.get("kwargs", {}).get("host", "")
    return host


@in_transaction
def _claim(ready: "QuerySet[Row]", worker_id: str) -> Row | None:
    row: Row | None = ready.select_for_update(skip_locked=True).first()
    if row is not None:
        row.claim(worker_id)
    return row


def reclaim(queue: Queue, older_than_s: float, *, of_dead_processes: bool = False) -> int:
    """Have tasks begin again whose process was killed while it ran them; return how many.

    A task that was begun as often as one that fails is given up: it may be what kills its processes.
    `of_dead_processes`: those of processes of this machine that are gone, however short ago they were begun.
    """
    begun_before = timezone.now() - dt.timedelta(seconds=older_than_s)
    running = DBTaskResult.objects.filter(queue_name=queue.name, status=TaskResultStatus.RUNNING)
    if not of_dead_processes:
        running = running.filter(started_at__lte=begun_before)
    count = 0
    for row in running.defer("args_kwargs"):
        is_overdue = row.started_at is not None and row.started_at <= begun_before
        if not is_overdue and not _is_of_dead_process(row):
            continue
        attempts = len(row.worker_ids)
        if attempts > len(queue.pauses_s):
            logger.warning("%s was not sent: its process ended; given up after %d attempts", queue.noun, attempts)
            _finish(row, TaskResultStatus.FAILED, "killed")
        else:
            count += _mine(row).update(status=TaskResultStatus.READY, run_after=get_date_max())
    return count


def _worker_id() -> str:
    return f"{socket.gethostname()[:50]}:{os.getpid()}"


def _is_of_dead_process(row: Row) -> bool:
    """Say whether the process that began a task is known to be gone. Call it before this one begins any."""
    worker_id = row.worker_ids[-1] if row.worker_ids else ""
    host, _colon, pid = worker_id.rpartition(":")
    if host != socket.gethostname()[:50] or not pid.isdecimal():
        return False
    if int(pid) == os.getpid():  # of the last one in this container, where a server has the same number every time
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


class QueueWorker:
    """The threads of one queue in one process."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.threads: list[threading.Thread] = []
        self._id = _worker_id()
        # Held by the one thread that looks for the next task.
        self._looking = threading.Lock()
        self._woken = threading.Event()
        self._hosts: Counter[str] = Counter()
        self._hosts_lock = threading.Lock()
        self._closing = False
        self._ends_at = float("inf")
        self._reclaim_at = 0.0
        self._looks_for_the_dead = False

    def open(self) -> None:
        """Start the threads. They are daemons: a host that hangs must not keep the process from ending."""
        # All processes that use the embedded database are of this machine. What `db_worker` or a shell is sending while
        # the server starts goes on.
        self._looks_for_the_dead = settings.EMBEDDED
        self.threads = [
            threading.Thread(target=self._work, name=f"{self.queue.name}-{number}", daemon=True)
            for number in range(self.queue.threads)
        ]
        for thread in self.threads:
            thread.start()

    def wake(self) -> None:
        """Have a thread look now; waits for nothing."""
        self._woken.set()

    def begin_to_close(self, ends_at: float) -> None:
        """Have the threads end when nothing is ready any more, and take nothing after `ends_at`."""
        self._ends_at, self._closing = ends_at, True
        self._woken.set()

    def run_ready(self) -> None:
        """Run in this thread what is ready now."""
        while (row := self._take()) is not None:
            self._run(row)

    def _work(self) -> None:
        while True:
            try:
                with self._looking:
                    row = self._wait_for_task()
                if row is None:
                    return
                self._run(row)
                close_old_connections()
            except Exception:  # one task is lost, or begins again; the thread stays
                logger.exception("the %s queue goes on after a fault", self.queue.name)
                time.sleep(AWAY_S)

    def _wait_for_task(self) -> Row | None:
        """Claim the next task as soon as there is one; None: the worker closes."""
        while True:
            self._woken.clear()
            row, pause_s = None, POLL_S
            try:
                row = self._take()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("the %s queue waits for the database: %s", self.queue.name, error)
                pause_s = AWAY_S
            finally:
                close_old_connections()
            if row is not None or self._closing:
                return row
            self._woken.wait(pause_s)

    def _take(self) -> Row | None:
        if time.monotonic() >= self._ends_at:
            return None
        if time.monotonic() >= self._reclaim_at:
            reclaim(self.queue, self.queue.longest_s, of_dead_processes=self._looks_for_the_dead)
            self._looks_for_the_dead = False
            self._reclaim_at = time.monotonic() + RECLAIM_S
        ready = DBTaskResult.objects.ready().filter(queue_name=self.queue.name)
        with self._hosts_lock:
            busy = [host for host, number in self._hosts.items() if number >= self.queue.threads_per_host]
        if busy:
            ready = ready.exclude(args_kwargs__kwargs__host__in=busy)
        # Without a lock first: on SQLite even an empty search would wait for who writes.
        row = _claim(ready, self._id) if ready.order_by().exists() else None
        if row is not None:
            with self._hosts_lock:
                self._hosts[_host_of(row)] += 1
        return row

    def _run(self, row: Row) -> None:
        host = _host_of(row)
        try:
            run_task(row, self.queue)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("how a task of the %s queue ended was not written: %s", self.queue.name, error)
        finally:
            with self._hosts_lock:
                self._hosts[host] -= 1
                self._hosts += Counter()  # drops those at zero
            self._woken.set()


class Worker:
    """The queues that this process works off; none until `open`."""

    def __init__(self) -> None:
        self._workers: dict[str, QueueWorker] = {}

    def open(self, queues: tuple[Queue, ...] = QUEUES) -> None:
        """Start the threads of some queues."""
        self._workers = {queue.name: QueueWorker(queue) for queue in queues}
        for worker in self._workers.values():
            worker.open()

    def close(self, within_s: float = STOP_S) -> None:
        """Work on what is ready, for `within_s` seconds at most; the rest stays in its queue."""
        workers, self._workers = list(self._workers.values()), {}
        ends_at = time.monotonic() + within_s
        for worker in workers:
            worker.begin_to_close(ends_at)
        for thread in [thread for worker in workers for thread in worker.threads]:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def wake(self, queue: Queue) -> None:
        """Have new tasks begun: by this process's threads, at once, or by another process."""
        worker = self._workers.get(queue.name)
        if worker is not None:
            worker.wake()
        elif queue.runs_anywhere and settings.TASK_WORKER == "inside":
            QueueWorker(queue).run_ready()


worker = Worker()
