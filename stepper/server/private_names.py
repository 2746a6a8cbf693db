"""One switch for everything in our servers that uses private names of Daphne, Twisted, Autobahn, uvicorn, websockets.

The names are listed in `uvicorn_private` and `daphne_private`, the only modules that read private state; requirements
pin the packages exactly, and tests/stepper/test_private_names.py fails if an installed package lacks one of the names.
"""

import inspect
import types
from collections.abc import Collection, Iterator, Mapping

# False: both servers run unchanged. Then only the packages limit heads, the speed of bodies and slow clients, close
# codes are Autobahn's, and frames go through queues. Use that only behind a proxy that has these limits.
USES_PRIVATE_NAMES = True

# Class of a package -> names of its methods and attributes.
PrivateNames = Mapping[type, Collection[str]]


def missing_names(relied_on: PrivateNames) -> list[str]:
    """List the names, as `package.module.Class.name`, that their class neither has nor uses in its own code."""
    return [
        f"{owner.__module__}.{owner.__qualname__}.{name}"
        for owner, names in relied_on.items()
        for name in sorted(set(names) - _names_of(owner))
    ]


def _names_of(owner: type) -> set[str]:
    """Collect the names of a class's attributes; those of its instances are found in the code of its methods."""
    found = set(dir(owner))
    for one in owner.__mro__:
        for member in vars(one).values():
            function = inspect.unwrap(getattr(member, "__func__", member))
            if isinstance(function, types.FunctionType):
                found.update(_names_in(function.__code__))
    return found


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
