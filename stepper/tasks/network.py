"""Calling a server elsewhere from a task: how long it may take in all, and whose certificates count."""

import asyncio
import contextlib
import functools
import socket
import ssl
import threading
from typing import Any


class CallLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait for an address that it asked for, when it ends.

    Asking the resolver cannot be broken off and may take half a minute; asyncio's own executor would be waited for, by
    the loop and by the end of the process.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        found: asyncio.Future[Any] = self.create_future()
        threading.Thread(target=self._resolve, args=(found, host, port), kwargs=hints, daemon=True).start()
        return await found

    def _resolve(self, found: asyncio.Future[Any], host: Any, port: Any, **hints: Any) -> None:
        try:
            result, error = socket.getaddrinfo(host, port, **hints), None
        except OSError as failure:
            result, error = None, failure

        def settle() -> None:
            if found.done():
                return
            if error is None:
                found.set_result(result)
            else:
                found.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.call_soon_threadsafe(settle)


@functools.cache
def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()
