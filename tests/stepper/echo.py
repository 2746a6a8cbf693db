"""`python -m tests.stepper.echo serve …` is `manage.py serve` that also says what it makes of a connection."""

import json
import os
import sys
from typing import Any

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")

    import django

    django.setup()

    from allauth.core.internal.httpkit import get_client_ip
    from channels.generic.websocket import AsyncWebsocketConsumer
    from django.core.management import execute_from_command_line
    from django.http import HttpRequest, JsonResponse
    from django.urls import path
    from rest_framework.throttling import AnonRateThrottle

    from realtime import routing
    from stepper import urls

    # All that anything may read of a request, by the start of its name.
    PROXIES = ("HTTP_X_", "HTTP_FORWARDED", "HTTP_DAPHNE", "HTTP_FRONT", "HTTP_CLIENT")

    class Throttle(AnonRateThrottle):
        rate = "1/min"

    def describe(scope: dict[str, Any]) -> dict[str, Any]:
        return {
            "client": scope["client"][0],
            "path": scope["path"],
            "root_path": scope["root_path"],
            "scheme": scope.get("scheme", "ws"),
        }

    def echo(request: HttpRequest) -> JsonResponse:
        scope = request.scope  # type: ignore[attr-defined]
        described = describe(scope) | {
            "host": request.get_host(),
            "secure": request.is_secure(),
            "url": request.build_absolute_uri(),
            "addresses": [get_client_ip(request), Throttle().get_ident(request)],  # type: ignore[arg-type]
            "proxied": [name for name in request.META if name.startswith(PROXIES)],
        }
        return JsonResponse(described)

    class Echo(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            names = [name.decode() for name, _value in self.scope["headers"]]
            proxied = [name for name in names if name.startswith(("x-", "forwarded", "daphne", "front")) or "_" in name]
            await self.send(json.dumps(describe(self.scope) | {"proxied": proxied}))

    urls.urlpatterns.insert(0, path("echo/", echo))
    routing.websocket_urlpatterns.insert(0, path("ws/echo/", Echo.as_asgi()))
    execute_from_command_line(sys.argv)
