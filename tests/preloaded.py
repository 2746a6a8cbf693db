"""What the fork server of `tests.forked` imports: libraries that read no settings and start nothing.

Of Daphne not its server: importing that installs the event loop, which each server needs for itself.
"""

import gc
import importlib

LIBRARIES = (
    "autobahn.twisted.websocket",
    "babel.dates",
    "babel.numbers",
    "channels",
    "channels.db",
    "cryptography",
    "daphne",
    "django.core.handlers.asgi",
    "django.core.management",
    "django.core.management.commands.runserver",
    "django.db.backends.postgresql.base",
    "django.db.migrations.executor",
    "django.db.models",
    "django.forms",
    "django.template.defaulttags",
    "django.template.loader_tags",
    "django.views.debug",
    "email.mime.multipart",
    "email.policy",
    "environs",
    "fido2.server",
    "fido2.webauthn",
    "h11",
    "httptools",
    "httpx",
    "jwt",
    "marshmallow",
    "msgspec",
    "phonenumbers",
    "psutil",
    "psycopg",
    "psycopg_pool",
    "pygments.formatters",
    "pygments.lexers",
    "redis",
    "redis.asyncio",
    "rest_framework.compat",
    "rich",
    "sqlparse",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.internet.protocol",
    "twisted.internet.ssl",
    "twisted.web.http",
    "ua_parser",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "websockets",
    "websockets.server",
    "whitenoise",
    "yaml",
    "zope.interface",
)

for library in LIBRARIES:
    importlib.import_module(library)
# Each program looks for garbage as it begins; what is here is none.
gc.freeze()
