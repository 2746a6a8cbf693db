"""PostgreSQL backend that hands out no connection which the server has closed meanwhile.

After a restart of PostgreSQL every pooled connection is dead, and each would fail one request, socket or sweep.
The pool's own check asks the server each time a connection is taken, and waits longer after each dead one it finds;
looking at the socket costs microseconds: an idle connection has nothing to say but that it has ended.
"""

import select
from typing import Any

from django.db.backends.postgresql import base

from stepper.db.postgresql.schema import DatabaseSchemaEditor


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass = DatabaseSchemaEditor

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        while self.pool is not None and _has_ended(connection):
            # Returned closed, so that the pool makes a new one in its place.
            connection.close()
            self.pool.putconn(connection)
            connection = super().get_new_connection(conn_params)
        return connection


def _has_ended(connection: Any) -> bool:
    if connection.closed:
        return True
    socket = select.poll()  # select() knows no descriptors above 1023
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))
