"""Sending one push: the task of the queue `push`."""

import asyncio
import json
import time
from typing import Any, Final

from django.db import close_old_connections, connection
from django_tasks import task

from realtime.models import STAFF_PAGES, PushSubscription
from realtime.push.encryption import encrypt, sign
from realtime.push.endpoints import host_of
from realtime.push.subscriptions import living
from stepper.outbound import ImpatientLoop, open_client, patience_s
from stepper.tasks.worker import PUSH, TryAgain

# From the question for the host's address to the answer, whatever it is made of.
TIMEOUT_S: Final = 5.0
# A push service that asks for more patience is asked again after this.
LONGEST_PATIENCE_S: Final = 900.0
GONE: Final = {404, 410}
LATER: Final = {408, 425, 429}


class Refused(Exception):
    """The push service does not take this push, and will not later."""


@task(queue_name=PUSH.name)
def send_push(*, subscription: int, payload: dict[str, Any], until: float, urgency: str) -> None:
    """Encrypt a push and hand it to the browser's push service, if its session still lives.

    Raises:
        TryAgain: the push service is away, or asks for patience.
        Refused: it refuses the push.
    """
    rows = living(pk=subscription)
    # The list of hosts may have become shorter since.
    if not rows or host_of(rows[0].endpoint) is None:
        return
    row = rows[0]
    # Nor is it told what was for staff if that has ended since.
    if payload["url"].startswith(STAFF_PAGES) and not row.user.may_act_as_staff:
        return
    body = encrypt(json.dumps(payload, ensure_ascii=False).encode(), p256dh=row.p256dh, auth=row.auth)
    headers = {
        "Authorization": sign(row.endpoint),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(max(0, round(until - time.time()))),
        "Urgency": urgency,
        "Topic": payload["tag"],
    }
    if not connection.in_atomic_block:  # as it never is but in tests
        close_old_connections()
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        status, retry_after = runner.run(_post(row.endpoint, body, headers))
    if status in GONE:
        PushSubscription.objects.filter(pk=row.pk, endpoint=row.endpoint).delete()
    elif status in LATER or status >= 500:
        raise TryAgain(f"status {status}", after_s=patience_s(retry_after, LONGEST_PATIENCE_S))
    elif not 200 <= status < 300:
        raise Refused(f"status {status}")


async def _post(endpoint: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Return status and `Retry-After` of the answer, whose body is not read. Raises TryAgain."""
    import httpx  # noqa: PLC0415 - it takes a third of a second, which only who sends pushes has to spend

    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            open_client(TIMEOUT_S) as client,
            client.stream("POST", endpoint, content=body, headers=headers) as response,
        ):
            return response.status_code, response.headers.get("Retry-After", "")
    except (httpx.HTTPError, OSError) as error:  # asyncio's TimeoutError is an OSError
        raise TryAgain from error
