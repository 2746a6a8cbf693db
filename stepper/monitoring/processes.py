"""The figures of all processes, for who has no Prometheus: each writes its own to Redis every few seconds.

Without Redis there is one process. What has not been written for KEPT_S is of a process that is gone.
"""

import asyncio
import contextlib
import os
import socket
import time
from urllib.parse import urlsplit

import msgspec
import redis
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from realtime.async_tasks import end_tasks
from stepper.monitoring.collecting import process_figures

WRITTEN_EVERY_S = 5.0
KEPT_S = 20.0
# Of the connection and of an answer.
TIMEOUT_S = 2.0


class ProcessFigures(msgspec.Struct, frozen=True):
    """The figures of one process. `figures`: sample with its labels, as Prometheus writes it -> value."""

    name: str
    # server, dispatcher or db_worker
    role: str
    # Seconds since 1970, by the process's own clock.
    at: float
    figures: dict[str, float]


_decode = msgspec.json.Decoder(ProcessFigures).decode


def read_here(role: str = "server") -> ProcessFigures:
    """Return the figures of this process now, those of the domain and of its state."""
    found: dict[str, float] = {}
    for family in process_figures():
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return ProcessFigures(name=f"{socket.gethostname()}:{os.getpid()}", role=role, at=time.time(), figures=found)


def _key() -> str:
    """Name the hash in Redis; it is apart for each numbered database, as everything there is."""
    return f"stepper:{urlsplit(settings.REDIS_URL).path.strip('/') or 0}:figures"


class Processes:
    """Writes the figures of this process until `close`; does nothing without Redis."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def open(self, role: str = "server") -> None:
        """Begin to write, on the running loop."""
        if settings.REDIS_URL and self._task is None:
            self._task = asyncio.create_task(self._write_for_ever(role))

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await end_tasks(task)

    async def _write_for_ever(self, role: str) -> None:
        client = Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        try:
            while True:
                # While Redis is away its absence is what /ops/system/ shows; the bus logs it.
                with contextlib.suppress(RedisError, OSError):
                    await self._write(client, read_here(role))
                await asyncio.sleep(WRITTEN_EVERY_S)
        finally:
            await client.aclose()

    @staticmethod
    async def _write(client: Redis, mine: ProcessFigures) -> None:
        pipeline = client.pipeline(transaction=False)
        pipeline.hset(_key(), mine.name, msgspec.json.encode(mine).decode())
        pipeline.expire(_key(), 10 * int(KEPT_S))
        await pipeline.execute()


def read_all() -> list[ProcessFigures] | None:
    """Return the figures of all processes by name, this one's as they are now; None: Redis does not answer.

    Processes that are gone are removed.
    """
    here = read_here()
    if not settings.REDIS_URL:
        return [here]
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None
        ) as client:
            written: dict[bytes, bytes] = client.hgetall(_key())
            found, gone = _living(written)
            if gone:
                client.hdel(_key(), *gone)
    except (RedisError, OSError):
        return None
    return sorted([here, *(one for one in found if one.name != here.name)], key=lambda one: one.name)


def _living(written: dict[bytes, bytes]) -> tuple[list[ProcessFigures], list[bytes]]:
    found, gone = [], []
    for name, body in written.items():
        try:
            one = _decode(body)
        except msgspec.MsgspecError:  # of another release
            continue
        if one.at < time.time() - KEPT_S:
            gone.append(name)
        else:
            found.append(one)
    return found, gone


def total(processes: list[ProcessFigures], name: str, **labels: str) -> float:
    """Add up a figure over processes and over all its labels but those given."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        value
        for one in processes
        for sample, value in one.figures.items()
        if sample.partition("{")[0] == name and all(label in sample for label in wanted)
    )


processes = Processes()
