"""Mails: written in the recipient's language, sent after the commit by a task of the queue `mail`.

So neither a slow mail server nor whether there is a mail to send can be told from an answer, and a mail outlives the
process that wrote it. One whose sending fails for now is tried again for some minutes.
"""

import logging
import smtplib
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import translation
from django_tasks import task
from django_tasks.base import Task

from stepper.tasks.queue import Work, enqueue, waiting
from stepper.tasks.worker import MAIL, TryAgain

logger = logging.getLogger("stepper.mail.sending")

MOST_WAITING = 500
# From here on a mail server's answer is final.
PERMANENT = 500


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
    send_written(write(name, to, language=language, context=context))


def send_written(message: EmailMessage) -> None:
    """Send a mail of text alone once this commits; a failure is only logged."""
    data = {
        "subject": str(message.subject),
        "body": str(message.body),
        "from_email": message.from_email,
        "to": list(message.to),
        "headers": dict(message.extra_headers),
    }
    run_after_commit(send_mail, **data)


def run_after_commit(job: Task[..., None], **data: Any) -> None:
    """Run a task that finds out about a mail and sends it once this commits; where too many wait it is given up."""
    if waiting(MAIL.name, most=MOST_WAITING) >= MOST_WAITING:
        logger.error("a mail was not sent: %d wait already", MOST_WAITING)
        return
    enqueue(Work(job, data))


@task(queue_name=MAIL.name)
def send_mail(*, subject: str, body: str, from_email: str, to: list[str], headers: dict[str, str]) -> None:
    """Send a mail that is written."""
    deliver(EmailMessage(subject, body, from_email, to, headers=headers))


def deliver(message: EmailMessage) -> None:
    """Give a mail to the mail server; for tasks.

    Raises:
        TryAgain: the mail server is away, or asks for patience.
        SMTPException: it refuses the mail.
    """
    try:
        message.send()
    except OSError as error:  # smtplib's own errors are OSErrors
        if _is_permanent(error):
            raise
        raise TryAgain from error


def _is_permanent(error: OSError) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= PERMANENT for code, _text in error.recipients.values())
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= PERMANENT
