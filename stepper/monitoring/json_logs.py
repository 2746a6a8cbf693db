"""The log as JSON, one object a line: time, level, logger, event, the ids of what was worked on, the traceback.

No personal data: ids alone name people, and what libraries quote is scrubbed.
"""

import datetime as dt
import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

from stepper.monitoring import log_ids
from stepper.monitoring.scrubbing import scrub
from stepper.server.logs import hide_links

Line = MutableMapping[str, Any]


def _add_origin(_logger: Any, _method: str, line: Line) -> Line:
    record: logging.LogRecord = line["_record"]
    at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
    return {"time": at, "level": record.levelname, "logger": record.name, **line, **log_ids.current()}


def _scrub(_logger: Any, _method: str, line: Line) -> Line:
    for name in ("event", "exception", "stack"):
        if isinstance(line.get(name), str):
            line[name] = scrub(hide_links(line[name]))
    return line


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats every record of the process, ours and libraries'; `extra` is left out: it holds requests."""

    def __init__(self) -> None:
        super().__init__(
            processors=[
                _add_origin,
                self.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                _scrub,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
