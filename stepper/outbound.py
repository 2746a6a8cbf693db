"""Calls to other services that end in time, whatever the other side does."""

import asyncio
import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


class ImpatientLoop(asyncio.SelectorEventLoop):
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


class CallFailed(Exception):
    """The other service did not answer in time, or not as it should; `args[0]` says how, without the address."""


class CallRefused(CallFailed):
    """It refused what was asked (a status of 400 to 428): asking something else may do."""


@functools.cache
def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def open_client(timeout: "float | httpx.Timeout") -> "httpx.AsyncClient":
    """Return a client that follows no redirect and no proxy of the environment."""
    import httpx  # noqa: PLC0415 - it takes a third of a second, which only who calls others has to spend

    return httpx.AsyncClient(verify=tls_context(), timeout=timeout, follow_redirects=False, trust_env=False)


def patience_s(retry_after: str, most: float) -> float:
    """Return the seconds of a `Retry-After`, at most so many; 0: it says none."""
    return min(float(retry_after), most) if retry_after.isdecimal() else 0


async def read_body(response: "httpx.Response", most: int) -> bytes:
    """Read a body as it comes, so that a few compressed bytes cannot become very many.

    Raises:
        CallFailed: more than `most` bytes.
    """
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > most:
            raise CallFailed(f"more than {most} bytes")
    return bytes(body)


def get_bytes(url: str, params: Mapping[str, str], *, headers: Mapping[str, str], timeout_s: float, most: int) -> bytes:
    """Return the body of a GET, `timeout_s` after its begin at the latest; redirects are not followed.

    Raises:
        CallFailed: no answer in time, another status than 200, or more than `most` bytes.
        CallRefused: the status says that the request is at fault.
    """
    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        return runner.run(_get(url, params, headers, timeout_s, most))


async def _get(url: str, params: Mapping[str, str], headers: Mapping[str, str], timeout_s: float, most: int) -> bytes:
    import httpx  # noqa: PLC0415 - it takes a third of a second, which only who calls others has to spend

    asked = {**headers, "Accept-Encoding": "identity"}
    try:
        async with (
            asyncio.timeout(timeout_s),
            open_client(timeout_s) as client,
            client.stream("GET", url, params=dict(params), headers=asked) as response,
        ):
            if response.status_code != httpx.codes.OK:
                refused = httpx.codes.BAD_REQUEST <= response.status_code < httpx.codes.TOO_MANY_REQUESTS
                raise (CallRefused if refused else CallFailed)(f"status {response.status_code}")
            return await read_body(response, most)
    except (httpx.HTTPError, OSError, ValueError) as error:  # asyncio's TimeoutError is an OSError
        raise CallFailed(type(error).__name__) from error
