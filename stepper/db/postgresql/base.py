"""PostgreSQL backend that hands out no connection which the server has closed meanwhile.

After a restart of PostgreSQL every pooled connection is dead, and each would fail one request, socket or sweep.
The pool's own check asks the server each time a connection is taken, and waits longer after each dead one it finds;
looking at the socket costs microseconds: an idle connection has nothing to say but that it has ended.

Lookups without case take Ё for Е, as on SQLite (stepper.db.letters).
"""

import select
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.postgresql.operations import DatabaseOperations as PostgreSQLOperations

from stepper.db.letters import LOOKUPS
from stepper.db.postgresql.schema import DatabaseSchemaEditor


class DatabaseOperations(PostgreSQLOperations):
    compiler_module = "stepper.db.postgresql.compiler"

    def lookup_cast(self, lookup_type: str, internal_type: str | None = None) -> str:
        cast: str = super().lookup_cast(lookup_type, internal_type)
        return f"TRANSLATE({cast}, 'Ё', 'Е')" if lookup_type in LOOKUPS else cast


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations
    operators = base.DatabaseWrapper.operators | dict.fromkeys(LOOKUPS, "LIKE TRANSLATE(UPPER(%s), 'Ё', 'Е')")
    pattern_ops = base.DatabaseWrapper.pattern_ops | {
        name: base.DatabaseWrapper.pattern_ops[name].replace("UPPER({})", "TRANSLATE(UPPER({}), 'Ё', 'Е')")
        for name in LOOKUPS
    }
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
