"""A database that goes away at a chosen statement."""

from collections.abc import Callable
from typing import Any

from django.db import OperationalError


def failing(beginning: str) -> Callable[..., Any]:
    """For `connection.execute_wrapper`: statements that begin like this fail as when the server has gone."""

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.startswith(beginning):
            raise OperationalError("server closed the connection unexpectedly")
        return run(sql, params, many, context)

    return execute
