"""Django's ASGI handler with one thread hop a request, in a bounded pool.

Django runs each synchronous middleware of an asynchronous chain in hops of its own (about twenty a request here, each
waiting for the interpreter when it is busy) and every request in a thread of its own. Here the chain is synchronous
and runs as a whole in a pool, so a crowd that arrives together (two hundred drivers accepting one trip) queues
instead of taking the interpreter away from the event loop, and the sockets hear of the outcome at once.
"""

from concurrent.futures import ThreadPoolExecutor
from os import SEEK_END
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from .crowd import in_turn

pool = ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="http")


class PooledHandler(ASGIHandler):
    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    def create_request(self, scope: Any, body_file: Any) -> Any:
        """Say how long a body is that came in chunks: the REST framework takes one without a length for empty."""
        request, refusal = super().create_request(scope, body_file)
        if request is not None and "CONTENT_LENGTH" not in request.META:
            size = body_file.seek(0, SEEK_END)
            body_file.seek(0)
            if size:
                request.META["CONTENT_LENGTH"] = str(size)
        return request, refusal

    async def get_response_async(self, request: Any) -> Any:
        return await in_turn(self.get_response, request, pool=pool)
