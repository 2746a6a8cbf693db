"""Lines of the log: UTC with its offset, one line a message, without the links that set a password or show a shared
trip.

Django logs the path of a request that failed, and a path of these is what the mail's recipient alone may know.
"""

import datetime as dt
import logging
import re
import threading
import time
from typing import Any

# A Host header may have thousands of characters.
REFUSAL_LENGTH = 300
_LINK = re.compile(r"(/accounts/(?:password/reset/key|e-mail)/|/t/|/ws/shared/[^/\s]+/)[^/\s'\"]+")


def escape_control_characters(text: str) -> str:
    r"""Write line ends, terminal sequences and invisible characters as `\n`, `\x1b`, `\u202e`.

    What a client sent must not look like a line of its own, nor hide what follows.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def hide_links(text: str) -> str:
    """Replace what follows the fixed part of a link that its recipient alone may know by an ellipsis."""
    return _LINK.sub(r"\1…", text)


class FaultHandler(logging.Handler):
    """Counts lines that say that something is wrong; writes nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        from stepper.monitoring.figures import FAULTS  # noqa: PLC0415 - which needs Django, which reads this first

        FAULTS.inc()


class LineFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Write the time in UTC, ISO 8601 with the offset: servers in different zones are read together."""
        return dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the message as one line; a traceback, which follows it, keeps its own."""
        record.message = escape_control_characters(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record and its traceback, without such links."""
        return hide_links(super().format(record))


class RefusalFilter(logging.Filter):
    """Limits lines that strangers cause at will: `most` a minute of each logger; short warnings without a traceback.

    The first line after a minute with more says how many were left out.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._lock = threading.Lock()
        # By logger: when its minute ends (monotonic), and the number of its records so far.
        self._minutes: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # An answer, not a fault of ours.
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        now = time.monotonic()
        with self._lock:
            ends_at, number = self._minutes.get(record.name, (0.0, 0))
            left_out = 0
            if now >= ends_at:
                left_out = max(0, number - self._most)
                ends_at, number = now + 60, 0
            self._minutes[record.name] = (ends_at, number + 1)
        if number >= self._most:
            return False
        message = record.getMessage()
        message = message if len(message) <= REFUSAL_LENGTH else message[:REFUSAL_LENGTH] + "…"
        record.msg = f"{message} ({left_out} more before)" if left_out else message
        record.args = record.exc_info = record.exc_text = None
        return True


def logging_configuration(level: str, *, own_level: str, form: str = "line") -> dict[str, Any]:
    """Return Django's LOGGING: everything to standard error, `own_level` for what is ours, `form` line or json."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": "stepper.server.logs.LineFormatter",
                "format": "{asctime} {levelname} {name}: {message}",
                "style": "{",
            },
            # It imports a library of its own, so only where it is wanted.
            **({"json": {"()": "stepper.monitoring.json_logs.JsonFormatter"}} if form == "json" else {}),
        },
        # What strangers can cause at will must not fill the disk.
        "filters": {"refusals": {"()": "stepper.server.logs.RefusalFilter", "most": 20}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": form},
            "faults": {"class": "stepper.server.logs.FaultHandler", "level": "ERROR"},
            "refusals": {"class": "logging.StreamHandler", "formatter": form, "filters": ["refusals"]},
        },
        "root": {"handlers": ["stderr", "faults"], "level": level},
        "loggers": {
            "stepper": {"level": own_level},
            # Without Django's own handlers, which write lines without a time or a second time, and mail nobody.
            "django": {"handlers": [], "level": "INFO"},
            # Refused requests (400 to 499) are answers, not faults.
            "django.request": {"level": "ERROR"},
            # Refused hosts, forged forms and whatever else Django calls suspicious.
            "django.security": {"handlers": ["refusals"], "level": "WARNING", "propagate": False},
            # Lists the letters of each statement (stepper.paper), which are people's names.
            "fontTools": {"level": "WARNING"},
            # They write whole addresses and headers: the secret of an SMS provider, a number, a code.
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            # Servers that are started otherwise than by `manage.py serve` bring handlers of their own; the access log
            # of uvicorn and of `runserver` is written as our lines, too.
            "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            **{name: {"handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.error", "uvicorn.access")},
        },
    }
