"""Membership: which other processes have sockets in which groups, as every process announces on one topic.

Positions are sent only to processes that have members in their group. So each process announces the relayed groups that
its sockets join and leave, and answers a new process with all its groups. A process that is silent is forgotten.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

# Prefixes of the groups to which positions are relayed. Only for these groups a process announces its members.
RELAYED = ("trip.", "staff")
# Each process announces this often that it is alive, and is forgotten after a silence of four times that.
_ALIVE_S = 5.0

# The words of announcements, each sent with groups. Processes of two releases share them, so they must not change.
INTRODUCTION = "hello"  # all groups of a process that has just connected: the others answer with theirs
ANSWER = "here"  # all groups of a process, to one that introduced itself
ALIVE = "alive"
JOINED = "joined"
LEFT = "left"
CLOSED = "gone"

Publish = Callable[[str, Sequence[str]], Awaitable[object]]


class Membership:
    """The groups of the other processes, and the changes of its own groups that this process has to announce."""

    def __init__(self, process: str, publish: Publish, own_groups: Callable[[], Sequence[str]]) -> None:
        """`publish(word, groups)` sends an announcement; `own_groups()` lists the groups with sockets here."""
        self._process = process
        self._publish = publish
        self._own_groups = own_groups
        # Group -> the other processes that have members in it.
        self.routes: dict[str, set[str]] = {}
        # Process -> time of its last announcement, by time.monotonic().
        self._heard_at: dict[str, float] = {}
        # Group -> whether sockets here are in it now; the changes that the next tick announces.
        self._pending: dict[str, bool] = {}
        # An announcement was lost, so the next sign of life announces all groups again.
        self._is_incomplete = False

    def reset(self) -> None:
        """Forget everything, because the bus starts again."""
        for known in (self.routes, self._heard_at, self._pending):
            known.clear()
        self._is_incomplete = False

    # Out

    def note(self, group: str, present: bool) -> bool:
        """Remember for the next tick whether sockets here are in a relayed group; False: it is not relayed."""
        if not group.startswith(RELAYED):
            return False
        self._pending[group] = present
        return True

    def take_pending(self) -> list[tuple[str, list[str]]]:
        """Return the pending announcements as (word, groups), and forget them."""
        pending, self._pending = self._pending, {}
        both = ((JOINED, True), (LEFT, False))
        found = [(word, [group for group, present in pending.items() if present is wanted]) for word, wanted in both]
        return [(word, groups) for word, groups in found if groups]

    def mark_incomplete(self) -> None:
        """Make the next sign of life announce all groups again, because an announcement was lost."""
        self._is_incomplete = True

    async def introduce(self) -> None:
        """Announce all groups of this process; the others answer with theirs."""
        await self._publish(INTRODUCTION, self._relayed_groups())

    async def announce_life(self) -> None:
        """Announce every _ALIVE_S that this process is alive, and forget processes that are silent. Never returns."""
        while True:
            await asyncio.sleep(_ALIVE_S)
            if self._is_incomplete:
                self._is_incomplete = False
                await self.introduce()
            else:
                await self._publish(ALIVE, [])
            silent_since = time.monotonic() - 4 * _ALIVE_S
            for process in [one for one, heard_at in self._heard_at.items() if heard_at < silent_since]:
                self._forget(process)

    def _relayed_groups(self) -> list[str]:
        return [group for group in self._own_groups() if group.startswith(RELAYED)]

    # In

    async def hear(self, process: str, word: str, groups: Sequence[str]) -> None:
        """Apply an announcement of `process`, and answer it if it asks for that."""
        if process == self._process:
            return
        is_known = process in self._heard_at
        self._heard_at[process] = time.monotonic()
        if word in (INTRODUCTION, ANSWER):
            self._forget(process)
            self._heard_at[process] = time.monotonic()
        elif word == CLOSED:
            self._forget(process)
        elif not is_known:
            await self.introduce()  # it had been forgotten, so ask all processes for their groups
        for group in groups:
            if word == LEFT:
                self._remove_route(group, process)
            else:
                self.routes.setdefault(group, set()).add(process)
        if word == INTRODUCTION:
            await self._publish(ANSWER, self._relayed_groups())

    def _forget(self, process: str) -> None:
        self._heard_at.pop(process, None)
        for group in [group for group, processes in self.routes.items() if process in processes]:
            self._remove_route(group, process)

    def _remove_route(self, group: str, process: str) -> None:
        processes = self.routes.get(group, set())
        processes.discard(process)
        if not processes:
            self.routes.pop(group, None)
