"""allauth's verification process, as far as pages need it: what a session keeps between a number and its code.

The code itself is not in the session, where allauth keeps it in clear: the session has the token that the code belongs
to (`stepper.accounts.phone_codes`), and tries are counted in the database, whichever session they come from.
"""

import datetime as dt
import time
from typing import Any

from allauth.account.internal.flows.code_verification import AbstractCodeVerificationProcess
from django.contrib.sessions.backends.base import SessionBase

from stepper.accounts.phone_codes import CODE_AGE, Sent

# How long pages wait before they offer another code. A help, no limit: those are in `phone_codes`.
AGAIN_AFTER = dt.timedelta(seconds=30)
# Tries are limited in the database.
_ANY_NUMBER = 10**6


class PhoneCodeProcess(AbstractCodeVerificationProcess):
    """One code that a session waits for. `purpose`: under which name the session keeps it."""

    def __init__(self, session: SessionBase, purpose: str, state: dict[str, Any]) -> None:
        super().__init__(max_attempts=_ANY_NUMBER, timeout=int(CODE_AGE.total_seconds()), state=state)
        self._session = session
        self._key = f"phone_code_{purpose}"

    @classmethod
    def start(cls, session: SessionBase, purpose: str, sent: Sent, **more: Any) -> "PhoneCodeProcess":
        """Keep what belongs to a code that was sent just now; it takes the place of one before."""
        state = cls.initial_state(user=None, phone=sent.phone) | {"token": sent.token} | more
        process = cls(session, purpose, state)
        process.persist()
        return process

    @classmethod
    def resume(cls, session: SessionBase, purpose: str) -> "PhoneCodeProcess | None":
        """Return what the session waits for; None: nothing, or it took too long."""
        state = session.get(f"phone_code_{purpose}")
        if not isinstance(state, dict):
            return None
        found: PhoneCodeProcess | None = cls(session, purpose, state).abort_if_invalid()
        return found

    @property
    def phone(self) -> str:
        return str(self.state["phone"])

    @property
    def token(self) -> str:
        return str(self.state["token"])

    @property
    def again_at(self) -> dt.datetime:
        """When the page offers to send another code: until then the SMS may still be on its way."""
        return dt.datetime.fromtimestamp(self.state["at"], dt.UTC) + AGAIN_AFTER

    @property
    def is_proven(self) -> bool:
        """Whether the code was entered already; what is still missing is a name."""
        return bool(self.state.get("is_proven"))

    def note_proven(self) -> None:
        """Note that the code was right; there are ten minutes more for what is still missing."""
        self.state["is_proven"], self.state["at"] = True, time.time()
        self.persist()

    def persist(self) -> None:
        self._session[self._key] = self.state

    def abort(self) -> None:
        self._session.pop(self._key, None)

    def send(self) -> None:
        """Do nothing: a code is sent before there is a process."""
