"""The ASGI application: pages and REST over HTTP, sockets, and the lifespan by which uvicorn starts and stops us."""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - after Django is set up

from realtime.routing import websocket_urlpatterns  # noqa: E402
from stepper.server.bodies import BodyLimits  # noqa: E402
from stepper.server.handler import PooledHandler  # noqa: E402
from stepper.server.lifespan import start, stop  # noqa: E402
from stepper.server.proxies import TrustedProxies  # noqa: E402
from stepper.server.single_process import AlreadyRunning, claim_data_directory  # noqa: E402

_sockets = URLRouter(websocket_urlpatterns)


async def sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Route a socket; refuse an unknown address, where the router's exception would be logged as a fault."""
    try:
        await _sockets(scope, receive, send)
    except ValueError as error:
        if "No route found" not in str(error):
            raise
        await send({"type": "websocket.close", "code": 4404})


async def lifespan(_scope: dict[str, Any], receive: Any, send: Any) -> None:
    lock = None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                lock = claim_data_directory()
            except AlreadyRunning as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await stop()
            if lock is not None:
                lock.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


application = TrustedProxies(
    ProtocolTypeRouter({"http": BodyLimits(PooledHandler()), "websocket": sockets, "lifespan": lifespan})
)
