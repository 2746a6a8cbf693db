"""Columns of thousands of rows as PostgreSQL array parameters, encoded in its binary format at once.

What psycopg does value by value costs 13 µs a row of ten columns, several times the server's UPDATE of it; this costs
0.5 µs. `execute` binds on the server, which Django's cursors do not by default.
"""

import struct
import sys
from array import array
from collections.abc import Collection, Iterable, Sequence

from django.db import connection
from psycopg import Cursor
from psycopg.adapt import Dumper
from psycopg.postgres import types
from psycopg.pq import Format

# Dimensions, whether there are NULLs, the elements' type, how many, the first one's number.
_HEADER = struct.Struct(">iiIii")
_NAN = float("nan")


class Column(bytes):
    """An encoded array of one dimension without NULLs."""


class Int8s(Column):
    """bigint[]"""

    def __new__(cls, values: Collection[int]) -> "Int8s":
        return super().__new__(cls, _encode_array("int8", _to_big_endian("q", values), 8))


class Float8s(Column):
    """float8[]; None is sent as NaN, `NULLIF(…, 'NaN')` makes it NULL."""

    def __new__(cls, values: Sequence[float | None]) -> "Float8s":
        known = [_NAN if value is None else value for value in values] if None in values else values
        return super().__new__(cls, _encode_array("float8", _to_big_endian("d", known), 8))


class Booleans(Column):
    """boolean[]"""

    def __new__(cls, values: Iterable[bool]) -> "Booleans":
        return super().__new__(cls, _encode_array("bool", bytes(values), 1))


def _to_big_endian(code: str, values: Iterable[float | None]) -> bytes:
    column = array(code, values)  # type: ignore[type-var]
    if sys.byteorder == "little":
        column.byteswap()
    return column.tobytes()


def _encode_array(element: str, packed: bytes, size: int) -> bytes:
    """Encode an array of numbers.

    The wire format has each element's length before it: the bytes are dealt out into a row of such, byte by byte.
    """
    count = len(packed) // size
    whole = bytearray(_HEADER.pack(1, 0, types[element].oid, count, 1))
    start, step = len(whole) + 4, 4 + size
    whole += (struct.pack(">i", size) + bytes(size)) * count
    for place in range(size):
        whole[start + place :: step] = packed[place::size]
    return bytes(whole)


def _dumper(element: str) -> type[Dumper]:
    class ColumnDumper(Dumper):
        format = Format.BINARY
        oid = types[element].array_oid

        def dump(self, obj: bytes) -> bytes:
            return obj

    return ColumnDumper


_DUMPERS = {Int8s: _dumper("int8"), Float8s: _dumper("float8"), Booleans: _dumper("bool")}


def execute(statement: str, columns: Sequence[Column]) -> int:
    """Run it (a `%b` for each column) in the transaction of this thread and return the number of rows it wrote."""
    connection.ensure_connection()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        for kind, dumper in _DUMPERS.items():
            cursor.adapters.register_dumper(kind, dumper)
        return cursor.execute(statement, columns).rowcount
