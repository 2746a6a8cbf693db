"""Long lists of ids in parts that one statement can take."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 500


def batches(values: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """Give the values in lists of at most `size`."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
