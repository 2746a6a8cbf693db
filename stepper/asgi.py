"""The ASGI application: pages and REST over HTTP, sockets, and the lifespan by which uvicorn starts and stops us."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
http = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - after Django is set up

from realtime.routing import websocket_urlpatterns  # noqa: E402
from stepper import life  # noqa: E402
from stepper.crowd import BoundedHttp  # noqa: E402

_sockets = URLRouter(websocket_urlpatterns)


async def sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An unknown address is refused quietly; the router's exception would be logged as a fault of ours."""
    try:
        await _sockets(scope, receive, send)
    except ValueError as error:
        if "No route found" not in str(error):
            raise
        await send({"type": "websocket.close", "code": 4404})


async def lifespan(_scope: dict[str, Any], receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await life.start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await life.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


application = ProtocolTypeRouter({"http": BoundedHttp(http), "websocket": sockets, "lifespan": lifespan})
