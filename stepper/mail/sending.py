"""Mails: written in the recipient's language, sent after the commit, best effort, by threads of their own.

A server process has a queue that its requests only add to, so that neither a slow mail server nor whether there is a
mail to send can be told from an answer. A process that has none (a command, a shell, a test) sends at once.
"""

import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.db import close_old_connections, transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import translation

logger = logging.getLogger("stepper.mail.sending")

THREADS = 2
MOST_WAITING = 500
# A server that stops waits at most this long for queued mails; then it discards them.
STOP_S = 4.0

Job = Callable[[], object]


def is_offered() -> bool:
    """Return whether mails reach anybody: there is a mail server, or a developer who reads the console."""
    return bool(settings.MAIL_OFFERED)


def base_url(request: HttpRequest) -> str:
    """Return what links in mails begin with: the public address; the request's own on a developer's machine only.

    Raises:
        ImproperlyConfigured: there is none, and the Host header is the client's to choose.
    """
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL)
    if settings.DEBUG:
        return f"{request.scheme}://{request.get_host()}"
    raise ImproperlyConfigured("PUBLIC_URL is missing: links in mails begin with it.")


def write(name: str, to: str, *, language: str, context: Mapping[str, Any]) -> EmailMessage:
    """Render `account/email/<name>_subject.txt` and `_message.txt` in a language."""
    with translation.override(language):
        subject = render_to_string(f"account/email/{name}_subject.txt", dict(context))
        body = render_to_string(f"account/email/{name}_message.txt", dict(context))
    # So that no program answers it, such as a note that somebody is on holiday.
    headers = {"Auto-Submitted": "auto-generated"}
    return EmailMessage(" ".join(subject.split()), body.strip() + "\n", to=[to], headers=headers)


def send(name: str, to: str, *, language: str, context: Mapping[str, Any]) -> None:
    """Write a mail now and send it once this commits; a failure is only logged."""
    message = write(name, to, language=language, context=context)
    run_after_commit(lambda: _deliver(message))


def run_after_commit(job: Job) -> None:
    """Run what finds out about a mail and sends it once this commits; a failure is only logged."""
    transaction.on_commit(lambda: mails.add(job))


def _deliver(message: EmailMessage) -> None:
    message.send()


def _run(job: Job) -> None:
    """Run a job; whatever fails is logged without its text, which can name the recipient or quote the mail."""
    try:
        job()
    except Exception as error:  # noqa: BLE001 - the mail is lost, the thread and the change that led here are not
        at = traceback.extract_tb(error.__traceback__)[-1]
        code = getattr(error, "smtp_code", None) or getattr(error, "errno", None)
        logger.warning("a mail was not sent: %s %s (%s:%s)", type(error).__name__, code or "", at.name, at.lineno)


class MailQueue:
    """Jobs that wait for the mail threads of a server; in other processes `add` runs the job itself."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job | None] | None = None
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Start the threads. They are daemons: a mail server that hangs must not keep the process from ending."""
        self._jobs = queue.Queue()
        self._threads = [
            threading.Thread(target=self._work, args=[self._jobs], name=f"mail-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, job: Job) -> None:
        """Queue a job; where too many wait already it is given up."""
        jobs = self._jobs
        if jobs is None:
            _run(job)
            return
        if jobs.qsize() >= MOST_WAITING:
            logger.error("a mail was not sent: %d wait already", MOST_WAITING)
        else:
            jobs.put(job)

    def close(self, within_s: float = STOP_S) -> None:
        """Send what is queued, for `within_s` seconds at most; what is left is given up, and counted in the log."""
        jobs, self._jobs = self._jobs, None
        if jobs is None:
            return
        ends_at = time.monotonic() + within_s
        for _thread in self._threads:
            jobs.put(None)
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        left = jobs.unfinished_tasks - _drain(jobs)
        if left > 0:
            logger.error("%d mails were not sent before the server stopped", left)
        for _thread in self._threads:
            jobs.put(None)
        self._threads = []

    @staticmethod
    def _work(jobs: "queue.Queue[Job | None]") -> None:
        while (job := jobs.get()) is not None:
            _run(job)
            close_old_connections()
            jobs.task_done()
        jobs.task_done()


def _drain(jobs: "queue.Queue[Job | None]") -> int:
    """Empty the queue; return how many of its entries were requests to end a thread."""
    ends = 0
    while True:
        try:
            ends += jobs.get_nowait() is None
        except queue.Empty:
            return ends


mails = MailQueue()
