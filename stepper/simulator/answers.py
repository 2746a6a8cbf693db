"""How a virtual driver answers offers: each in a task of its own, which ends when the offer does."""

import asyncio
from collections.abc import Callable
from random import Random

from realtime import events
from stepper.simulator.behaviour import Behaviour, Restraint
from stepper.simulator.client import BackOff, Gone, ReconnectingSocket, Refused
from stepper.simulator.clock import Clock, now


class OfferAnswers:
    """The offers that one driver has to answer.

    Args:
        is_driving: says whether the driver has a trip to drive now; then nothing is accepted.
        on_accepted: called with the card of an offer that the server has given to this driver.
    """

    def __init__(
        self,
        socket: ReconnectingSocket,
        clock: Clock,
        *,
        rng: Random,
        behaviour: Behaviour,
        restraint: Restraint | None,
        is_driving: Callable[[], bool],
        on_accepted: Callable[[events.OfferCreated], None],
    ) -> None:
        self._socket = socket
        self._clock = clock
        self._rng = rng
        self._behaviour = behaviour
        self._restraint = restraint
        self._is_driving = is_driving
        self._on_accepted = on_accepted
        self._cards: dict[int, events.OfferCreated] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._accepting = asyncio.Lock()

    def begin(self, card: events.OfferCreated) -> None:
        """Begin to answer an offer, once: it is delivered at least once, and again on each connection."""
        if card.offer_id not in self._tasks:
            self._cards[card.offer_id] = card
            task = asyncio.create_task(self._answer(card))
            self._tasks[card.offer_id] = task
            task.add_done_callback(lambda _task: self._forget(card.offer_id))

    def cancel(self, offer_id: int) -> None:
        """Stop answering an offer that is gone."""
        if task := self._tasks.get(offer_id):
            task.cancel()

    def cancel_all(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()

    def card(self, offer_id: int | None) -> events.OfferCreated | None:
        """Return the card of an offer that is being answered, None: there is none."""
        return self._cards.get(offer_id) if offer_id is not None else None

    def _forget(self, offer_id: int) -> None:
        self._tasks.pop(offer_id, None)
        self._cards.pop(offer_id, None)

    async def _answer(self, card: events.OfferCreated) -> None:
        behaviour, restraint = self._behaviour, self._restraint
        time_to_answer = (card.expires_at - card.created_at) * self._clock.speed
        hesitation_s = behaviour.hesitation_s(self._rng, card.distance_km, time_to_answer=time_to_answer)
        await self._clock.sleep(hesitation_s)
        is_unwanted = self._rng.random() < behaviour.declines
        if is_unwanted and (restraint is None or await restraint.may_decline(card)):
            await self._send_answer(events.OfferDecline(offer_id=card.offer_id, reason="Not this one"), card)
            return
        if restraint is not None:
            await restraint.wait(card)
        # One at a time; what a driver can no longer accept the server takes back by itself.
        async with self._accepting:
            if not self._is_driving() and await self._send_answer(events.OfferAccept(offer_id=card.offer_id), card):
                self._on_accepted(card)

    async def _send_answer(self, command: events.OfferAccept | events.OfferDecline, card: events.OfferCreated) -> bool:
        """Send an answer until the server has taken or refused it, as long as the offer stands; True: it was taken."""
        back_off = BackOff(self._rng)
        while now() < card.expires_at:
            await self._socket.connected.wait()
            try:
                await self._socket.request(command)
                return True
            except Gone:
                await back_off.sleep()
            except Refused as refusal:
                if refusal.code != "rate.limited":
                    return False
                await asyncio.sleep(refusal.retry_after_s or 5)
        return False
