"""Settings: infrastructure and secrets from a strictly typed environment, the same code embedded and scaled.

Runs with an empty environment (SQLite, one process). What staff tune while the service runs (fares, fee,
radius, deadlines, limits) is a row in the database: `stepper.models.settings.ServiceSettings`.
Every variable is described in docs/configuration.md.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env

from stepper import languages
from stepper.accounts.configuration import (  # noqa: F401
    ACCOUNT_FORMS,
    AUTH_PASSWORD_VALIDATORS,
    MFA_ADAPTER,
    MFA_TOTP_ISSUER,
    MFA_TOTP_TOLERANCE,
)
from stepper.call_exchange import read_extensions, read_token_digest
from stepper.db.configuration import read_database
from stepper.geocoder_address import read_geocoder_url
from stepper.mail.configuration import read_email_url, read_public_url
from stepper.monitoring.configuration import read_log_format, read_metrics_port, read_metrics_token, read_sentry_dsn
from stepper.push_keys import make_vapid_key, read_vapid_key
from stepper.server.logs import logging_configuration
from stepper.sms.configuration import read_sms
from stepper.time_zones import HOME, use_pinned_time_zones

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)

# Infrastructure

DEBUG = env.bool("DEBUG", False)
# The demo's accounts have a public password: real use must not find them in its database.
DATA_DIR = BASE_DIR / env.str("DATA_DIR", "var/demo" if DEBUG else "var")
DATABASE_URL = env.str("DATABASE_URL", "")
REDIS_URL = env.str("REDIS_URL", "")
# The schemes that work; what is wrong with the rest of an address is found when it is used.
for _name, _url, _schemes in (
    ("DATABASE_URL", DATABASE_URL, ("postgresql", "postgres", "sqlite")),
    ("REDIS_URL", REDIS_URL, ("redis", "rediss", "unix")),
):
    if _url and not _url.startswith(tuple(f"{_scheme}://" for _scheme in _schemes)):
        raise ImproperlyConfigured(f"{_name} must begin with {_schemes[0]}:// (docs/configuration.md).")
EMBEDDED = not DATABASE_URL and not REDIS_URL
# "inside": every server process runs the dispatcher; "external": only `manage.py dispatcher` does.
DISPATCHER = env.str("DISPATCHER", "inside")
if DISPATCHER not in {"inside", "external"}:
    raise ImproperlyConfigured(f"DISPATCHER must be inside or external, not {DISPATCHER!r}")
# Who sends mails, pushes and SMS: "inside", every server process; "external", only `manage.py db_worker`.
TASK_WORKER = env.str("TASK_WORKER", "inside")
if TASK_WORKER not in {"inside", "external"}:
    raise ImproperlyConfigured(f"TASK_WORKER must be inside or external, not {TASK_WORKER!r}")
DATABASE_THREADS = env.int("DATABASE_THREADS", 4)


if not DATABASE_URL or DEBUG:
    try:
        DATA_DIR.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"DATA_DIR {DATA_DIR} cannot be made: {error.strerror}.") from error


def _embedded_secret(name: str, make: Callable[[], str]) -> str:
    """Read a secret of the embedded set-up: made once, readable by its owner only."""
    path = DATA_DIR / name
    try:
        if not path.exists():
            # Opened exclusively: of two processes that start together one makes it.
            with (
                contextlib.suppress(FileExistsError),
                open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
            ):
                file.write(make())
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(f"DATA_DIR {DATA_DIR} cannot be used: {error.strerror}.") from error


SECRET_KEY = env.str("SECRET_KEY", "") or (
    _embedded_secret("secret_key", lambda: secrets.token_urlsafe(64)) if EMBEDDED or DEBUG else ""
)
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is missing: several processes must share one, so set it in the environment.")

# It signs tokens by HMAC-SHA256, whose key should be as long as its output.
if len(SECRET_KEY) < 32 and not DEBUG:
    raise ImproperlyConfigured(f"SECRET_KEY has {len(SECRET_KEY)} characters and needs at least 32: make a random one.")

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
# True behind a proxy that ends TLS and sets X-Forwarded-Proto: secure cookies, HSTS, redirects.
HTTPS = env.bool("HTTPS", False)
# How many proxies in front append to X-Forwarded-For; 0 believes no header of the kind. See stepper.server.proxies.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", 1 if HTTPS else 0)
if TRUSTED_PROXIES < 0:
    raise ImproperlyConfigured(f"TRUSTED_PROXIES must be 0 or more, not {TRUSTED_PROXIES}")
# Seconds until the head of a request is complete (also the first one, and the next on a connection), seconds without
# a byte of its body, and seconds until 1 MiB of it has come. Sizes: stepper.server.request_limits.
REQUEST_HEAD_S = env.int("REQUEST_HEAD_S", 30)
REQUEST_BODY_SILENCE_S = env.int("REQUEST_BODY_SILENCE_S", 30)
REQUEST_BODY_S = env.int("REQUEST_BODY_S", 120)

# Application

INSTALLED_APPS = [
    "stepper",
    "trips",
    "drivers",
    "realtime",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "allauth.mfa",
    "phonenumber_field",
    "js_lib_leaflet",
    "csp",
    "django_tasks_db",
]

MIDDLEWARE = [
    "stepper.monitoring.requests.RequestMiddleware",
    "stepper.web.headers.SecurityHeadersMiddleware",
    "stepper.web.middleware.SecurityLogMiddleware",
    "stepper.web.middleware.AuditMiddleware",
    "stepper.web.cookies.OldCookiesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    # Above WhiteNoise: static files carry the policy, too.
    "stepper.web.middleware.ContentSecurityPolicyMiddleware",
    "stepper.web.health.HealthMiddleware",
    "stepper.monitoring.exposition.MetricsMiddleware",
    "stepper.web.static_files.StaticFilesMiddleware",
    # A page is 35 KB without it. It adds a random length, and tokens in pages differ each time (BREACH).
    "django.middleware.gzip.GZipMiddleware",
    "stepper.web.middleware.PlainApiMiddleware",
    "stepper.web.middleware.ApiTrailingSlashMiddleware",
    "stepper.accounts.session_store.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Below the one that knows the account, whose language counts first.
    "stepper.web.languages.LanguageMiddleware",
    "stepper.accounts.session_store.StaffIdleMiddleware",
    "stepper.web.middleware.LastSeenMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "stepper.web.middleware.RefusalMiddleware",
]

ROOT_URLCONF = "stepper.urls"
ASGI_APPLICATION = "stepper.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "stepper.web.context.page",
            ],
        },
    },
]

# Database

# Requests and sockets have DATABASE_THREADS each, the service's own loops five, tasks eight, the rest is reserve.
DATABASE_POOL = env.int("DATABASE_POOL", 2 * DATABASE_THREADS + 16)
DATABASES = {"default": read_database(env, DATABASE_URL, DATA_DIR, pool=DATABASE_POOL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["mail", "push", "sms"]}}

# What several processes share: throttle counters and sign-in failures go through Redis where there is one.
CACHES = {
    "default": {"BACKEND": "stepper.redis_cache.CountingRedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    # The default keeps 300 entries and then drops counters at random.
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
}

# Addresses of streets and houses; without it only the places of the table are found.
GEOCODER = read_geocoder_url(env.str("GEOCODER_URL", ""))
# Searches for a place a minute: of one account, and of one address by people who are not signed in.
PLACE_SEARCHES_PER_USER = env.int("PLACE_SEARCHES_PER_USER", 120)
PLACE_SEARCHES_PER_ADDRESS = env.int("PLACE_SEARCHES_PER_ADDRESS", 300)

CHANNEL_LAYER = env.str("CHANNEL_LAYER", "stepper")
if CHANNEL_LAYER == "channels_redis":
    CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
    }
elif CHANNEL_LAYER == "stepper":
    CHANNEL_LAYERS = {"default": {"BACKEND": "realtime.layer.hub.HubChannelLayer", "CONFIG": {"redis_url": REDIS_URL}}}
else:
    raise ImproperlyConfigured(f"CHANNEL_LAYER must be stepper or channels_redis, not {CHANNEL_LAYER!r}")

# What one socket may do: frames a second in the long run and at once, seconds without a word, seconds without reading;
# and how many sockets one account may have open at all processes together.
SOCKET_RATE = env.int("SOCKET_RATE", 20)
SOCKET_BURST = env.int("SOCKET_BURST", 100)
SOCKET_IDLE_S = env.int("SOCKET_IDLE_S", 300)
SOCKET_SLOW_S = env.int("SOCKET_SLOW_S", 20)
SOCKETS_PER_USER = env.int("SOCKETS_PER_USER", 20)
# What all sockets of one account may do together in a minute: commands of one kind, and opening sockets.
SOCKET_COMMANDS_PER_MIN = env.int("SOCKET_COMMANDS_PER_MIN", 60)
SOCKETS_OPENED_PER_MIN = env.int("SOCKETS_OPENED_PER_MIN", 120)
# Sockets from one address that nobody has signed in to yet, at one process. A mobile carrier is one address.
OPENING_SOCKETS_PER_ADDRESS = env.int("OPENING_SOCKETS_PER_ADDRESS", 500)

# Sign-in

AUTH_USER_MODEL = "stepper.User"
AUTHENTICATION_BACKENDS = [
    "stepper.accounts.backends.AuthenticationBackend",
    # Sessions of earlier releases name it. It is asked for no password: the first one's refusal is final.
    "allauth.account.auth_backends.AuthenticationBackend",
]
# Argon2 with the parameters OWASP recommends: as hard to crack as PBKDF2 at a tenth of the server's time.
PASSWORD_HASHERS = ["stepper.accounts.hashers.Argon2Hasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "stepper:home"
LOGOUT_REDIRECT_URL = "stepper:home"
# From signing in, whatever happens in between; staff's end sooner, and also without activity.
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SESSION_ENGINE = "stepper.accounts.session_store"
STAFF_SESSION_S = env.int("STAFF_SESSION_S", 12 * 60 * 60)
STAFF_SESSION_IDLE_S = env.int("STAFF_SESSION_IDLE_S", 60 * 60)

ACCOUNT_ADAPTER = "stepper.accounts.adapter.AccountAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", *(["webauthn"] if HTTPS else [])]  # passkeys need TLS
ACCOUNT_LOGIN_METHODS = {"email", "phone"}
ACCOUNT_SIGNUP_FIELDS = ["phone", "email", "password1*"]
# A link ends with the password, with the address it was sent to and with a restore. allauth's would count its aliases.
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "stepper.accounts.reset_tokens.ResetTokenGenerator"  # noqa: S105
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PHONE_VERIFICATION_ENABLED = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PREVENT_ENUMERATION = False
SILENCED_SYSTEM_CHECKS = [
    # Phone or e-mail: the form asks for at least one, so neither is required by itself.
    "account.W001",
    # Subdomains and the browsers' preload list bind hosts that are not this service's: whoever wants them says so.
    "security.W005",
    "security.W021",
]
# `stepper.accounts.sign_in` counts these, each in a minute: a mobile carrier is one address.
SIGN_IN_FAILURES_PER_ACCOUNT = env.int("SIGN_IN_FAILURES_PER_ACCOUNT", 5)
SIGN_IN_FAILURES_PER_ADDRESS = env.int("SIGN_IN_FAILURES_PER_ADDRESS", 60)
SIGN_INS_PER_ACCOUNT = env.int("SIGN_INS_PER_ACCOUNT", 20)
SIGN_INS_PER_ADDRESS = env.int("SIGN_INS_PER_ADDRESS", 300)
SIGN_UPS_PER_ADDRESS = env.int("SIGN_UPS_PER_ADDRESS", 60)
# Requests that hash a password have threads of their own; so many more may wait for one.
SIGN_IN_THREADS = env.int("SIGN_IN_THREADS", 2)
SIGN_IN_QUEUE = env.int("SIGN_IN_QUEUE", 50)
# Off, because `sign_in` counts them already, and the library's counting waits in a thread for a lock.
ACCOUNT_RATE_LIMITS = dict.fromkeys(("login", "login_failed", "signup", "change_password"))
HEADLESS_TOKEN_STRATEGY = "allauth.headless.tokens.strategies.jwt.JWTTokenStrategy"  # noqa: S105
HEADLESS_JWT_ALGORITHM = "HS256"
HEADLESS_JWT_ACCESS_TOKEN_EXPIRES_IN = env.int("ACCESS_TOKEN_S", 3600)
HEADLESS_JWT_REFRESH_TOKEN_EXPIRES_IN = SESSION_COOKIE_AGE
# A signed-out or suspended user's token stops working at once, not when it expires.
HEADLESS_JWT_STATEFUL_VALIDATION_ENABLED = True
PHONENUMBER_DEFAULT_REGION = "KZ"
PHONENUMBER_DB_FORMAT = "E164"

# REST

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "stepper.api.base.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["stepper.api.base.JSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["stepper.api.base.UserThrottle"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.CursorPagination",
    "EXCEPTION_HANDLER": "stepper.api.errors.exception_handler",
    "NUM_PROXIES": 0,
    "COERCE_DECIMAL_TO_STRING": False,
}

# Language, time

LANGUAGE_CODE = languages.SOURCE
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGES = languages.find_offered(LOCALE_PATHS[0])
FORMAT_MODULE_PATH = ["stepper.formats"]
use_pinned_time_zones()
TIME_ZONE = HOME
USE_TZ = True

# Static files

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "stepper.web.static_files.StaticFilesStorage"
    },
}
# Said, as tests turn DEBUG off later and each client of a test would read all files.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_ALLOW_ALL_ORIGINS = False  # nobody else's pages use our files
WHITENOISE_MIMETYPES = {".svg": "image/svg+xml; charset=utf-8"}

# The map

TILE_URL = env.str("TILE_URL", "https://tile.openstreetmap.org/{z}/{x}/{y}.png")
TILE_ATTRIBUTION = env.str("TILE_ATTRIBUTION", "© OpenStreetMap contributors")
_tiles = urlsplit(TILE_URL.replace("{s}", "*"))

# Security

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "object-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "font-src": [SELF],
        "img-src": [SELF, "data:"] + ([f"{_tiles.scheme}://{_tiles.netloc}"] if _tiles.netloc else []),
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
# Map tiles are refused without a referrer; the path stays private.
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
X_FRAME_OPTIONS = "DENY"
# Whose cookies begin so were set by this very host over TLS, for all of its paths: no other host of the domain can
# plant one. Browsers refuse the prefix over plain HTTP.
COOKIE_PREFIX = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}sessionid"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrftoken"
LANGUAGE_COOKIE_NAME = f"{COOKIE_PREFIX}django_language"
# Read by the server only: pages carry the token in forms and in the header htmx sends.
CSRF_COOKIE_HTTPONLY = True
MESSAGE_STORAGE = "stepper.web.cookies.MessageStorage"
if HTTPS:
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 60 * 60 * 24 * 365)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_INCLUDE_SUBDOMAINS", False)
    SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", False)
    if SECURE_HSTS_PRELOAD and not SECURE_HSTS_INCLUDE_SUBDOMAINS:
        raise ImproperlyConfigured("HSTS_PRELOAD needs HSTS_INCLUDE_SUBDOMAINS: the browsers' list takes no less.")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    LANGUAGE_COOKIE_SECURE = True
    # The proxy and the health check of the machine itself speak plain HTTP; REST is refused by PlainApiMiddleware.
    SECURE_REDIRECT_EXEMPT = [r"^health/", r"^api/", r"^metrics$"]
# Bodies are limited while they arrive, by path: stepper.server.request_limits.
DATA_UPLOAD_MAX_MEMORY_SIZE = None
DATA_UPLOAD_MAX_NUMBER_FILES = 5
FILE_UPLOAD_HANDLERS = ["stepper.server.uploads.InMemoryUpload"]

# Mail

_email_url = env.str("EMAIL_URL", "")
vars().update(read_email_url(_email_url, debug=DEBUG))
# Without a mail server nothing is offered that needs one; a developer's console prints what would be sent.
MAIL_OFFERED = bool(_email_url) or DEBUG
# What links in mails begin with; never what a client's Host header says.
PUBLIC_URL = read_public_url(env.str("PUBLIC_URL", ""), required=bool(_email_url) and not DEBUG, https=HTTPS)
PASSWORD_RESET_TIMEOUT = 60 * 60 * 24
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "StepperGO <noreply@localhost>")

# SMS

# None: no codes by SMS are offered anywhere. How often they are sent is a setting of the service.
SMS_PROVIDER = read_sms(
    url=env.str("SMS_URL", ""),
    method=env.str("SMS_METHOD", "POST"),
    body=env.str("SMS_BODY", ""),
    headers=env.str("SMS_HEADERS", ""),
    secret=env.str("SMS_SECRET", ""),
    success=env.str("SMS_SUCCESS", ""),
    debug=DEBUG,
)

# SHA-256 of the token by which a telephone exchange announces calls (empty: none does); extension -> operator's e-mail.
CALL_TOKEN_SHA256 = read_token_digest(env.str("CALL_TOKEN_SHA256", ""))
CALL_EXTENSIONS = read_extensions(env.str("CALL_EXTENSIONS", ""))

# Pushes

# Signs pushes; browsers are subscribed with it, so another one ends all subscriptions. Empty: no pushes are offered.
VAPID_PRIVATE_KEY = read_vapid_key(env.str("VAPID_PRIVATE_KEY", "")) or (
    _embedded_secret("vapid_private_key", make_vapid_key) if EMBEDDED or DEBUG else ""
)
# Whom a push service may ask about them.
VAPID_SUBJECT = PUBLIC_URL if PUBLIC_URL.startswith("https://") else f"mailto:{parseaddr(DEFAULT_FROM_EMAIL)[1]}"
# Only to these are pushes sent: Chrome and Edge, Firefox, Safari, Edge on Windows.
PUSH_HOSTS: list[str] = env.list(
    "PUSH_HOSTS",
    ["fcm.googleapis.com", "*.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com"],
)

# Monitoring. line: for people; json: one object a line, with the ids of what was worked on.
LOG_FORMAT = read_log_format(env.str("LOG_FORMAT", "line"))
_LEVEL = env.str("LOG_LEVEL", "WARNING")
LOGGING = logging_configuration(_LEVEL, own_level=env.str("LOG_LEVEL", "INFO"), form=LOG_FORMAT)
# The figures of this process: at /metrics for whoever has the token, and on a port of their own, which needs none.
METRICS_TOKEN = read_metrics_token(env.str("METRICS_TOKEN", ""))
METRICS_HOST = env.str("METRICS_HOST", "127.0.0.1")
METRICS_PORT = read_metrics_port(env.int("METRICS_PORT", 0))
# Where faults are reported, without personal data; empty: nowhere.
SENTRY_DSN = read_sentry_dsn(env.str("SENTRY_DSN", ""))
SENTRY_ENVIRONMENT = env.str("SENTRY_ENVIRONMENT", "production")

from stepper.web.theme import UNFOLD  # noqa: E402, F401
