"""The channel layer and the consumers' base with nothing behind them: what relaying costs before it does anything.

    python -m tests.bench.bare --port PORT [--server uvicorn]

`/<group>/s` sends positions to the group, `/<group>/w` hears them.
"""

import datetime as dt
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
django.setup(set_prefix=False)

from channels.layers import get_channel_layer  # noqa: E402 - after Django is set up

from drivers.positions.tracking import location_frame  # noqa: E402
from realtime import events  # noqa: E402
from realtime.sockets.base import SocketConsumer  # noqa: E402


class BareConsumer(SocketConsumer):
    async def websocket_connect(self, _message: dict[str, Any]) -> None:
        await self.send({"type": "websocket.accept", "subprotocol": None})
        _empty, self.group, role = self.scope["path"].split("/")
        if role == "w":
            await self.join(self.group)
        await self._send_frame(
            events.ConnectionEstablished(
                user_id=1, driver_id=None, heartbeat_s=30, position_trip_s=10, position_idle_s=60, cursor=""
            )
        )
        self._open()

    def receive_now(self, text: str | None) -> bool:
        command = events.decode_command(text or "")
        if isinstance(command, events.LocationUpdate):
            point = command.points[-1]
            now = dt.datetime.now(dt.UTC)
            frame = location_frame(
                1, 1, point=point, recorded_at=point.recorded_at or now, timestamp=now, to_go=events.Eta()
            )
            message = {"type": "position.relayed", "group": self.group, "key": self.group, "driver_id": 1}
            self.channel_layer.relay(self.group, message | {"frame": events.encode_bytes(frame)})
        return True


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await BareConsumer()(scope, receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
    else:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await get_channel_layer().start()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def main() -> None:
    """Set up as `manage.py serve` does."""
    if "uvicorn" in sys.argv:
        import uvicorn

        from stepper.server.uvicorn import LeanSansIOProtocol

        port = int(sys.argv[sys.argv.index("--port") + 1])
        uvicorn.run(
            application,
            port=port,
            ws=LeanSansIOProtocol,
            ws_per_message_deflate=False,
            access_log=False,
            log_level="warning",
            backlog=4096,
        )
        return
    # First: it installs the event loop.
    from stepper.server import daphne

    daphne.install()

    from daphne.endpoints import build_endpoint_description_strings

    port = int(sys.argv[sys.argv.index("--port") + 1])
    daphne.SocketServer(
        application=application,
        endpoints=build_endpoint_description_strings(host="127.0.0.1", port=port),
        server_name="stepper",
    ).run()


if __name__ == "__main__":
    main()
