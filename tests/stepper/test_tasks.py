"""Queues: nothing is lost or legible, what hangs delays nothing else, what fails is tried again for a while."""

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from django.db import InterfaceError, transaction
from django.utils import timezone
from django_tasks import task
from django_tasks_db.models import DBTaskResult

from stepper.mail import sending
from stepper.tasks import worker as worker_module
from stepper.tasks.queue import Work, enqueue
from stepper.tasks.worker import PUSH, QueueWorker, TryAgain, Worker, reclaim
from tests.live import ROOT, LiveServer
from tests.smtp import mail_server
from tests.stepper.test_mail import url_of

CODE = "482913"


class Desk:
    """What the tasks of these tests do, and have done."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.threads: list[threading.Thread] = []
        self.done: list[str] = []
        self.release = threading.Event()
        self.error: Exception | None = None
        self.changed = threading.Condition()

    def note(self, names: list[str], name: str) -> None:
        with self.changed:
            names.append(name)
            self.changed.notify_all()

    def wait_for(self, condition) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=10), (self.begun, self.done)


desk = Desk()


@pytest.fixture(autouse=True)
def _fresh_desk():
    desk.__init__()  # type: ignore[misc]
    yield
    desk.release.set()


@task(queue_name="push")
def push(*, name: str, hangs: bool = False) -> None:
    desk.threads.append(threading.current_thread())
    desk.note(desk.begun, name)
    if hangs:
        assert desk.release.wait(10)
    if desk.error is not None:
        raise desk.error
    desk.note(desk.done, name)


@pytest.fixture
def opened():
    """Opens the threads of this process, and ends them after the test."""
    workers = []

    def start(*queues):
        running = Worker()
        running.open(queues)
        workers.append(running)
        return running

    yield start
    desk.release.set()
    for running in workers:
        running.close(within_s=10)


def row():
    return DBTaskResult.objects.get()


@pytest.mark.django_db
def test_what_waits_is_sealed_and_what_is_done_is_empty():
    enqueue(Work(push, {"name": CODE}, host="push.example.test"))
    assert CODE not in str(row().args_kwargs)
    QueueWorker(PUSH).run_ready()
    assert desk.done == [CODE]
    assert (row().status, row().args_kwargs) == ("SUCCESSFUL", {"args": [], "kwargs": {}})


@pytest.mark.django_db
def test_task_whose_secret_key_is_gone_fails_and_is_emptied(settings):
    enqueue(Work(push, {"name": CODE}))
    settings.SECRET_KEY = "another one, long enough for a signature"
    QueueWorker(PUSH).run_ready()
    assert (desk.begun, row().status, row().exception_class_path) == ([], "FAILED", "InvalidToken")


@pytest.mark.django_db
@pytest.mark.parametrize("error", [ValueError(CODE), TryAgain(CODE)])
def test_failure_is_logged_without_its_text(caplog, error):
    desk.error = error
    enqueue(Work(push, {"name": "a"}))
    QueueWorker(PUSH).run_ready()
    assert f"a push was not sent: {type(error).__name__}" in caplog.text
    assert CODE not in f"{caplog.text}{row().traceback}"


@pytest.mark.django_db
def test_what_may_succeed_later_is_tried_again_after_growing_pauses(caplog):
    desk.error = TryAgain()
    enqueue(Work(push, {"name": "a"}))
    pauses = []
    for _attempt in PUSH.pauses_s:
        QueueWorker(PUSH).run_ready()
        pauses.append((row().run_after - timezone.now()).total_seconds())
        DBTaskResult.objects.update(run_after=timezone.now())
    assert pauses == pytest.approx(PUSH.pauses_s, abs=1)
    QueueWorker(PUSH).run_ready()
    assert (row().status, len(desk.begun)) == ("FAILED", len(PUSH.pauses_s) + 1)
    assert "given up after 9 attempts" in caplog.text


@pytest.mark.django_db
def test_host_that_asks_for_patience_gets_it():
    desk.error = TryAgain(after_s=60)
    enqueue(Work(push, {"name": "a"}))
    QueueWorker(PUSH).run_ready()
    assert (row().run_after - timezone.now()).total_seconds() == pytest.approx(60, abs=1)


@pytest.mark.django_db
def test_task_is_given_up_when_it_would_come_too_late():
    desk.error = TryAgain(after_s=60)
    enqueue(Work(push, {"name": "a"}, until=timezone.now() + dt.timedelta(seconds=30)))
    QueueWorker(PUSH).run_ready()
    assert (row().status, len(desk.begun)) == ("FAILED", 1)


@pytest.mark.django_db
def test_task_that_is_worth_nothing_any_more_does_not_begin():
    enqueue(Work(push, {"name": "a"}, until=timezone.now()))
    QueueWorker(PUSH).run_ready()
    assert (desk.begun, row().status) == ([], "FAILED")


@pytest.mark.django_db
def test_urgent_tasks_begin_first():
    enqueue(Work(push, {"name": "a"}), Work(push, {"name": "b"}, priority=10))
    QueueWorker(PUSH).run_ready()
    assert desk.done == ["b", "a"]


@pytest.mark.django_db
def test_task_of_a_killed_process_begins_again_once_it_cannot_be_running_any_more():
    enqueue(Work(push, {"name": "a"}))
    DBTaskResult.objects.update(status="RUNNING", started_at=timezone.now() - dt.timedelta(seconds=PUSH.longest_s - 5))
    QueueWorker(PUSH).run_ready()
    assert desk.begun == []
    DBTaskResult.objects.update(started_at=timezone.now() - dt.timedelta(seconds=PUSH.longest_s + 5))
    QueueWorker(PUSH).run_ready()
    assert desk.done == ["a"]


@pytest.mark.django_db
def test_outcome_of_a_task_that_another_worker_took_over_is_not_written():
    enqueue(Work(push, {"name": "a"}))
    late = QueueWorker(PUSH)
    claimed = late._take()
    assert claimed is not None
    assert reclaim(PUSH, 0) == 1
    late._run(claimed)
    assert row().status == "READY"


@pytest.mark.django_db
@pytest.mark.parametrize(("attempts", "status"), [(len(PUSH.pauses_s), "READY"), (len(PUSH.pauses_s) + 1, "FAILED")])
def test_task_that_kills_its_processes_is_given_up_like_one_that_fails(caplog, attempts, status):
    enqueue(Work(push, {"name": CODE}))
    DBTaskResult.objects.update(status="RUNNING", started_at=timezone.now(), worker_ids=["a:1"] * attempts)
    reclaim(PUSH, 0)
    assert row().status == status
    assert ("given up after 9 attempts" in caplog.text) is (status == "FAILED")
    assert (row().args_kwargs == {"args": [], "kwargs": {}}) is (status == "FAILED")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [InterfaceError("connection already closed"), KeyError("host")])
def test_no_fault_ends_a_thread(opened, monkeypatch, error):
    monkeypatch.setattr(worker_module, "AWAY_S", 0.01)
    take, faults = QueueWorker._take, iter([error] * 2 * PUSH.threads)

    def fail_at_first(self):
        for fault in faults:
            raise fault
        return take(self)

    monkeypatch.setattr(QueueWorker, "_take", fail_at_first)
    running = opened(PUSH)
    enqueue(Work(push, {"name": "a"}))
    desk.wait_for(lambda: desk.done)
    assert all(thread.is_alive() for thread in running._workers["push"].threads)


@pytest.mark.django_db(transaction=True)
def test_outcome_that_cannot_be_written_ends_no_thread(opened, monkeypatch):
    monkeypatch.setattr(worker_module, "AWAY_S", 0.01)
    finish, faults = worker_module._finish, iter([InterfaceError(), ValueError()] * PUSH.threads)

    def fail_at_first(*given):
        for fault in faults:
            raise fault
        finish(*given)

    monkeypatch.setattr(worker_module, "_finish", fail_at_first)
    opened(PUSH)
    enqueue(*[Work(push, {"name": str(number)}) for number in range(2 * PUSH.threads + 1)])
    desk.wait_for(lambda: len(desk.done) == 2 * PUSH.threads + 1)


@pytest.mark.django_db
@pytest.mark.parametrize("args_kwargs", [{}, {"args": [], "kwargs": {}}, {"args": [], "kwargs": {"host": ""}}])
def test_malformed_row_fails_and_delays_nothing(args_kwargs):
    enqueue(Work(push, {"name": "a"}))
    DBTaskResult.objects.update(args_kwargs=args_kwargs)
    QueueWorker(PUSH).run_ready()
    assert (row().status, row().exception_class_path) == ("FAILED", "KeyError")


@pytest.mark.django_db(transaction=True)
def test_task_of_a_change_that_is_taken_back_is_not_begun(opened):
    opened(PUSH)
    with transaction.atomic():
        enqueue(Work(push, {"name": "never"}))
        transaction.set_rollback(True)
    enqueue(Work(push, {"name": "a"}))
    desk.wait_for(lambda: desk.done)
    assert desk.begun == ["a"]


@pytest.mark.django_db(transaction=True)
def test_host_that_hangs_keeps_two_threads_and_delays_neither_other_hosts_nor_who_enqueues(opened):
    opened(PUSH)
    hanging = [Work(push, {"name": f"hangs {number}", "hangs": True}, host="slow") for number in range(5)]
    enqueue(*hanging)
    desk.wait_for(lambda: len(desk.begun) == 2)
    enqueue(*[Work(push, {"name": f"quick {number}"}, host="quick") for number in range(3)])
    desk.wait_for(lambda: len(desk.done) == 3)
    assert sorted(desk.done) == ["quick 0", "quick 1", "quick 2"]
    assert len([name for name in desk.begun if name.startswith("hangs")]) == 2
    desk.release.set()
    desk.wait_for(lambda: len(desk.done) == 8)


@pytest.mark.django_db(transaction=True)
def test_closing_works_off_what_is_ready(opened):
    running = opened(PUSH)
    desk.release.set()
    enqueue(*[Work(push, {"name": str(number), "hangs": True}, host="a") for number in range(8)])
    running.close(within_s=10)
    assert sorted(desk.done) == [str(number) for number in range(8)]


@pytest.mark.django_db(transaction=True)
def test_closing_does_not_wait_for_a_host_that_hangs_and_loses_nothing(opened):
    running = opened(PUSH)
    enqueue(*[Work(push, {"name": str(number), "hangs": True}, host="a") for number in range(4)])
    desk.wait_for(lambda: len(desk.begun) == 2)
    threads = list(running._workers["push"].threads)
    running.close(within_s=0)
    assert all(thread.daemon for thread in threads)
    assert sorted(DBTaskResult.objects.values_list("status", flat=True)) == ["READY", "READY", "RUNNING", "RUNNING"]
    # One that was just looking would take what a released one leaves room for.
    for thread in set(threads) - set(desk.threads):
        thread.join(10)
    desk.release.set()
    for thread in threads:
        thread.join(10)
    assert sorted(DBTaskResult.objects.values_list("status", flat=True)) == ["READY", "READY"] + ["SUCCESSFUL"] * 2


@pytest.mark.django_db(transaction=True)
def test_worker_sees_what_other_processes_enqueue(opened, monkeypatch):
    opened(PUSH)
    monkeypatch.setattr(worker_module.worker, "wake", lambda queue: None)
    enqueue(Work(push, {"name": "a"}))
    desk.wait_for(lambda: desk.done)


@pytest.fixture
def process():
    """Another process of this machine, as the queue names it, and what ends it."""
    running = subprocess.Popen(["sleep", "60"])

    def end():
        running.kill()
        running.wait()

    yield f"{socket.gethostname()}:{running.pid}", end
    end()


@pytest.mark.embedded_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_own_number", [True, False])
def test_embedded_server_begins_again_at_once_what_the_last_one_left(opened, process, is_own_number):
    worker_id, end = process
    end()
    enqueue(Work(push, {"name": "a"}))
    if is_own_number:
        worker_id = f"{socket.gethostname()}:{os.getpid()}"
    DBTaskResult.objects.update(status="RUNNING", started_at=timezone.now(), worker_ids=[worker_id])
    opened(PUSH)
    desk.wait_for(lambda: desk.done)


@pytest.mark.embedded_only
@pytest.mark.django_db(transaction=True)
def test_embedded_server_that_starts_leaves_what_another_process_is_sending(opened, process):
    worker_id, _end = process
    enqueue(Work(push, {"name": "a"}))
    DBTaskResult.objects.update(status="RUNNING", started_at=timezone.now(), worker_ids=[worker_id])
    opened(PUSH)
    enqueue(Work(push, {"name": "b"}))
    desk.wait_for(lambda: desk.done)
    assert desk.begun == ["b"]


@pytest.mark.django_db(transaction=True)
def test_db_worker_sends_what_servers_leave_to_it(tmp_path, settings):
    settings.TASK_WORKER = "external"
    sending.send("address_code", "a@example.test", language="en", context={"user": {"name": "Aigerim"}, "code": CODE})
    assert row().status == "READY"
    with mail_server(tmp_path) as server:
        environ = {"EMAIL_URL": url_of(server), "SSL_CERT_FILE": str(server.certificate), "TASK_WORKER": "external"}
        environ = LiveServer(tmp_path / "log", environ).whole_environment
        arrived = threading.Event()
        server.on_mail = arrived.set
        process = subprocess.Popen([sys.executable, "manage.py", "db_worker"], cwd=ROOT, env=environ)
        try:
            assert arrived.wait(60)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
    [received] = server.received
    assert CODE in received.text
    assert row().status == "SUCCESSFUL"
