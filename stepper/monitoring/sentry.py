"""Faults for Sentry, by SENTRY_DSN: what was logged as an error, with its traceback and our ids, nothing of a person.

The library's integrations stay off: they would add requests, statements of the database and breadcrumbs. Variables of
the traceback are left out, as they hold rows; texts are scrubbed as in the JSON log.
"""

import logging
from typing import Any

from django.conf import settings

from stepper.monitoring import log_ids
from stepper.monitoring.scrubbing import scrub
from stepper.server.logs import hide_links

# What the library may send; all else of an event is taken out.
_SENT = frozenset(
    {
        "event_id",
        "timestamp",
        "platform",
        "level",
        "logger",
        "logentry",
        "exception",
        "threads",
        "release",
        "environment",
        "sdk",
        "type",
    }
)
# Of a frame of a traceback: where it is, and lines of our code.
_SENT_OF_FRAME = frozenset(
    {"filename", "abs_path", "module", "function", "lineno", "pre_context", "context_line", "post_context", "in_app"}
)


def start() -> None:
    """Report faults of this process where SENTRY_DSN says; without one the library is not even imported."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk  # noqa: PLC0415 - it takes a third of a second
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.SENTRY_ENVIRONMENT,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            DedupeIntegration(),
            ExcepthookIntegration(),
            # Its own tells whoever stops the server that it waits.
            AtexitIntegration(callback=lambda _pending, _timeout: None),
        ],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        traces_sample_rate=None,
        # The name of the machine is nobody's business either.
        server_name="",
        before_send=strip,
    )


def strip(event: Any, _hint: Any) -> Any:
    """Keep of an event what names no person, with our ids as its tags."""
    kept = {name: value for name, value in event.items() if name in _SENT}
    if entry := kept.get("logentry"):
        # The message as it was written; its parameters are in it.
        written = entry.get("formatted") or entry.get("message") or ""
        kept["logentry"] = {"message": _clean(written), "formatted": _clean(written)}
    for one in (kept.get("exception") or {}).get("values") or []:
        if isinstance(one.get("value"), str):
            one["value"] = _clean(one["value"])
        _strip_frames(one)
    for one in (kept.get("threads") or {}).get("values") or []:
        _strip_frames(one)
    kept["tags"] = {name: str(value) for name, value in log_ids.current().items()}
    return kept


def _strip_frames(holder: dict[str, Any]) -> None:
    trace = holder.get("stacktrace")
    if trace:
        trace["frames"] = [
            {name: value for name, value in frame.items() if name in _SENT_OF_FRAME}
            for frame in trace.get("frames") or []
        ]


def _clean(text: str) -> str:
    return scrub(hide_links(text))
