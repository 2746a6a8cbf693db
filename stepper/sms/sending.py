"""SMS: written in the recipient's language, sent after the commit by a task of the queue `sms`.

So neither a slow provider nor a failing one can be told from an answer. What may have been sent is not sent again: each
SMS costs money, and who waits for a code can ask for another one.
"""

import asyncio
import datetime as dt
import json
import logging
from typing import Any, Final

from django.conf import settings
from django.db import close_old_connections, connection
from django_tasks import task

from stepper.outbound import CallFailed, ImpatientLoop, open_client, patience_s, read_body
from stepper.sms.configuration import Provider, Request
from stepper.tasks.queue import Work, enqueue, waiting
from stepper.tasks.worker import SMS, TryAgain

logger = logging.getLogger("stepper.sms.sending")

MOST_WAITING = 500
# From the question for the host's address to the end of the answer.
TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 4.0
# Of the answer, which is a few hundred bytes.
MOST_BYTES: Final = 16 * 1024
LONGEST_PATIENCE_S: Final = 60.0
# These say that it was not sent: asked for patience, or not reached behind the provider's own proxy.
LATER: Final = {425, 429, 502, 503}


class Refused(Exception):
    """The provider did not take this SMS, or did not say so in time; it is not tried again."""


def is_offered() -> bool:
    """Return whether SMS reach anybody: there is a provider, or a developer who reads the console."""
    return settings.SMS_PROVIDER is not None


def send(phone: str, text: str, *, until: dt.datetime, waits_behind_any: bool = False) -> bool:
    """Send an SMS once this commits, unless it is `until` by then; a failure is only logged. False: too many wait.

    `waits_behind_any`: it is sent however many wait.
    """
    provider: Provider | None = settings.SMS_PROVIDER
    if provider is None:
        return False
    if not waits_behind_any and waiting(SMS.name, most=MOST_WAITING) >= MOST_WAITING:
        logger.error("an SMS was not sent: %d wait already", MOST_WAITING)
        return False
    enqueue(Work(send_sms, {"phone": phone, "text": text}, host=provider.host, until=until))
    return True


@task(queue_name=SMS.name)
def send_sms(*, phone: str, text: str) -> None:
    """Hand an SMS to the provider.

    Raises:
        TryAgain: it was not reached, or asks for patience.
        Refused: it refuses the SMS, or it is not known whether it took it.
    """
    provider: Provider | None = settings.SMS_PROVIDER
    if provider is None:
        raise Refused("no provider")
    if provider.is_console:
        # A developer's machine: it stands in for the phone.
        print(f"SMS to {phone}: {text}", flush=True)
        return
    if not connection.in_atomic_block:  # as it never is but in tests
        close_old_connections()
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        status, retry_after, answer = runner.run(_call(provider.request(phone, text)))
    if status in LATER:
        raise TryAgain(f"status {status}", after_s=patience_s(retry_after, LONGEST_PATIENCE_S))
    if not 200 <= status < 300:
        raise Refused(f"status {status}")
    if provider.success_path and not provider.is_success(_read_json(answer)):
        raise Refused("its answer says no")


async def _call(request: Request) -> tuple[int, str, bytes]:
    """Return status, `Retry-After` and the beginning of the body of the answer. Raises TryAgain, Refused."""
    import httpx  # noqa: PLC0415 - it takes a third of a second, which only who sends has to spend

    headers = {"Accept-Encoding": "identity", **request.headers}
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            # A connection that is not made in time is told from an answer that is not.
            open_client(httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)) as client,
            client.stream(request.method, request.url, content=request.body, headers=headers) as response,
        ):
            body = await read_body(response, MOST_BYTES)
            return response.status_code, response.headers.get("Retry-After", ""), body
    except CallFailed as error:
        raise Refused("its answer is too long") from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise TryAgain from error
    except (httpx.HTTPError, OSError) as error:  # asyncio's TimeoutError is an OSError
        raise Refused from error


def _read_json(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return None
