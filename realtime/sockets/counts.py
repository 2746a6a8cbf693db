"""Counts of each account's sockets, in all server processes, and the limits that an account's sockets share.

A process keeps its own counts in a Redis hash that expires `TTL_S` after the process has ended, so the counts of a
killed process refuse nobody for long. Opening a socket takes one round trip; one heartbeat per process, not per socket,
renews the hash. Without Redis, or while it is away, a process counts only its own sockets.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from realtime import events
from realtime.async_tasks import end_tasks
from stepper.limits import too_many
from stepper.token_bucket import TokenBucket

logger = logging.getLogger("stepper.sockets")

HEARTBEAT_S = 5.0
TTL_S = 20
# After a failure Redis is not used for this long.
_AWAY_S = 5.0
_WRITTEN_AT_ONCE = 1000
_WINDOW_S = 60.0

# KEYS: the sorted set of processes by their last heartbeat; this process's counts. ARGV: this process, the user, the
# user's sockets here, now, TTL_S, the prefix of the counts' keys. Returns the user's sockets in all processes.
_COUNT = """
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[5])
local total = 0
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[4] - ARGV[5], '+inf')) do
  total = total + (tonumber(redis.call('HGET', ARGV[6] .. process, ARGV[2])) or 0)
end
return total
"""


class AccountSockets:
    """One user's sockets in this process."""

    __slots__ = ("_commands", "_positions", "sockets")

    def __init__(self) -> None:
        self.sockets = 0
        self._positions = TokenBucket(settings.SOCKET_BURST, settings.SOCKET_RATE, time.monotonic())
        # Kind of command -> when its window closes, how many were sent in it.
        self._commands: dict[str, tuple[float, int]] = {}

    def take_position(self, now: float) -> bool:
        """Count a position; False: the user's sockets have together sent more than one socket may send."""
        return self._positions.take(now)

    def require_allowed(self, command: events.Command) -> None:
        """Count a command for the user's sockets in this process; this is the cheapest limit, so it is checked first.

        Raises:
            TooManyRequests: rate.limited; the sockets stay open.
        """
        if isinstance(command, events.Ping):
            return
        now = time.monotonic()
        if isinstance(command, events.LocationUpdate):
            # A single socket of an account is limited by its own bucket.
            wait_s = None if self.sockets == 1 or self.take_position(now) else 1
        else:
            wait_s = self._wait_s(events.tag(command), now)
        if wait_s is not None:
            raise too_many(wait_s)

    def _wait_s(self, kind: str, now: float) -> int | None:
        """Count one command; return the seconds until the next one may be sent, or None if it is allowed."""
        closes_at, count = self._commands.get(kind, (0.0, 0))
        if closes_at <= now:
            closes_at, count = now + _WINDOW_S, 0
        self._commands[kind] = (closes_at, count + 1)
        return None if count < settings.SOCKET_COMMANDS_PER_MIN else max(1, round(closes_at - now))


class SocketCounts:
    """The socket counts of this process. Call everything on the server's loop."""

    def __init__(self, prefix: str = "stepper") -> None:
        # A new one each time that it is opened: a fork has what was made before.
        self._process = ""
        self._prefix = f"{prefix}:sockets:"
        self._accounts: dict[int, AccountSockets] = {}
        # Users whose changed counts are not in Redis yet.
        self._changed: set[int] = set()
        self._away_until = 0.0
        # The counts in Redis may be wrong, because it was away or has lost its data: write all again.
        self._is_stale = False
        self._redis: Any = None
        self._count: Any = None
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        # Writes set absolute counts, so run one at a time: otherwise an older count could overwrite a newer one.
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> None:
        """Connect to Redis and start the heartbeat. Call on the server's loop."""
        if not settings.REDIS_URL:
            return
        self._process = secrets.token_hex(6)
        self._redis = Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
        self._count = self._redis.register_script(_COUNT)
        self._away_until, self._is_stale, self._one_at_a_time = 0.0, True, asyncio.Lock()
        self._task = asyncio.create_task(self._beat_for_ever())

    async def close(self) -> None:
        """Stop, and delete this process's counts from Redis."""
        await end_tasks(*(task for task in (self._task, self._writing) if task is not None))
        redis, self._redis, self._task, self._writing = self._redis, None, None, None
        if redis is not None:
            with contextlib.suppress(RedisError, OSError):
                await redis.pipeline().delete(self._own).zrem(self._processes, self._process).execute()
            with contextlib.suppress(RedisError, OSError):
                await redis.aclose()

    @property
    def _own(self) -> str:
        return self._prefix + self._process

    @property
    def _processes(self) -> str:
        return self._prefix + "processes"

    @property
    def _is_away(self) -> bool:
        return self._redis is None or time.monotonic() < self._away_until

    async def add(self, user_id: int) -> tuple[AccountSockets, int]:
        """Count one more socket; return the account's sockets here, and their number in all processes."""
        account = self._accounts.setdefault(user_id, AccountSockets())
        account.sockets += 1
        try:
            return account, await self._total(user_id, account)
        except BaseException:  # cancelled because the client left: the caller has no result, so undo it here
            self.remove(user_id)
            raise

    async def _total(self, user_id: int, account: AccountSockets) -> int:
        if self._redis is None:
            return account.sockets
        async with self._one_at_a_time:
            if self._is_away:
                return account.sockets
            try:
                total = await self._count(
                    keys=[self._processes, self._own],
                    args=[self._process, user_id, account.sockets, int(time.time()), TTL_S, self._prefix],
                )
            except (RedisError, OSError) as error:
                self._give_up(error)
                return account.sockets
        return int(total)

    def remove(self, user_id: int) -> None:
        """Count one socket less, here immediately and in Redis a moment later."""
        account = self._accounts.get(user_id)
        if account is None:
            return
        account.sockets -= 1
        if account.sockets <= 0:
            del self._accounts[user_id]
        if self._redis is None:
            return
        self._changed.add(user_id)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write_changed())

    async def _write_changed(self) -> None:
        while self._changed and not self._is_away:
            users, self._changed = list(self._changed), set()
            async with self._one_at_a_time:
                try:
                    await self._write(users)
                except (RedisError, OSError) as error:
                    self._give_up(error)

    async def _write(self, users: Sequence[int], *, anew: bool = False) -> None:
        """Write the counts of `users`; `anew`: replace all counts of this process, in one transaction."""
        pipeline = self._redis.pipeline(transaction=anew)
        if anew:
            pipeline.delete(self._own)
        for start in range(0, len(users), _WRITTEN_AT_ONCE):
            some = users[start : start + _WRITTEN_AT_ONCE]
            here = {user: self._accounts[user].sockets for user in some if user in self._accounts}
            if here:
                pipeline.hset(self._own, mapping=here)
            if gone := [user for user in some if user not in here]:
                pipeline.hdel(self._own, *gone)
        pipeline.expire(self._own, TTL_S)
        await pipeline.execute()

    def _give_up(self, error: Exception) -> None:
        logger.warning("sockets are counted in this process only: %s", error)
        self._away_until = time.monotonic() + _AWAY_S
        self._is_stale = True

    async def _beat_for_ever(self) -> None:
        while True:
            try:
                await self._beat()
            except (RedisError, OSError) as error:
                self._give_up(error)
            except Exception:  # without this loop other processes would no longer count the sockets here
                logger.exception("sockets could not be counted")
            await asyncio.sleep(HEARTBEAT_S)

    async def _beat(self) -> None:
        now = int(time.time())
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zadd(self._processes, {self._process: now})
        pipeline.zremrangebyscore(self._processes, "-inf", now - 10 * TTL_S)
        pipeline.expire(self._own, TTL_S)
        is_there = bool((await pipeline.execute())[2])
        if self._is_stale or (self._accounts and not is_there):
            self._is_stale = False
            async with self._one_at_a_time:
                await self._write(list(self._accounts), anew=True)


counts = SocketCounts()
