"""Who may do what: the table `tests/role_matrix.txt`, and what each answer of the service says of it.

One line for each operation: method (`ACTION`: one of a list of the administration, `SOCKET`: opening one), address as
the address map has it, and who is let in. After a change of addresses, actions or rights the tests say which lines
differ; `STEPPER_WRITE_ROLES=1` has them write the table anew. Read what that changed before you commit it.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from django.contrib.auth.models import Group

from stepper.models import User
from stepper.roles import BY_KEY, ROLES

FILE = Path(__file__).with_suffix(".txt")
STAFF = tuple(role.key for role in ROLES)
PEOPLE = ("passenger", "driver", *STAFF)
WHO = ("stranger", *PEOPLE)
# Short for those who often come together.
SHORT = {"everybody": WHO, "signed in": PEOPLE, "staff": STAFF, "nobody": ()}

_HEAD = """\
# Who may do what (tests/role_matrix.py says how it is made and compared).
# Let in is who is not refused for who they are: a form that is filled in wrongly, or comes too late, is let in.
# The passenger booked the trip of the address, the driver drives it; rows of an account are their own.
# everybody: a stranger and all who are signed in. staff: {staff}.

"""


class Operation(NamedTuple):
    method: str
    address: str


Table = dict[Operation, frozenset[str]]


def _words(who: Iterable[str]) -> str:
    who = tuple(one for one in WHO if one in set(who))
    for short, names in SHORT.items():
        if who == names:
            return short
    words = [one for one in who if one not in STAFF]
    staff = [one for one in who if one in STAFF]
    return ", ".join([*words, *(["staff"] if tuple(staff) == STAFF else staff)])


def _names(words: str) -> frozenset[str]:
    return frozenset(name for word in words.split(", ") for name in SHORT.get(word, (word,)))


def lines_of(table: Table) -> list[str]:
    """Write a table as lines; the methods of an address that are for the same people share one."""
    shared: dict[tuple[str, frozenset[str]], list[str]] = {}
    for operation, who in sorted(table.items(), key=lambda item: (item[0].address, item[0].method)):
        shared.setdefault((operation.address, who), []).append(operation.method)
    return [f"{','.join(methods)} {address} | {_words(who)}" for (address, who), methods in shared.items()]


def read_table() -> Table:
    table: Table = {}
    for line in FILE.read_text().splitlines() if FILE.exists() else []:
        if not line or line.startswith("#"):
            continue
        operation, _bar, words = line.rpartition(" | ")
        methods, _space, address = operation.partition(" ")
        for method in methods.split(","):
            table[Operation(method, address)] = _names(words)
    return table


def part_of(operation: Operation) -> str:
    """Say which of the tests asks for an operation."""
    if operation.method == "SOCKET":
        return "sockets"
    return "administration" if operation.address.startswith("admin/") else "pages"


def compare(found: Table, part: str) -> None:
    """Compare what was found of one part with the table; write that where it is asked for."""
    assert {part_of(operation) for operation in found} == {part}
    table = read_table()
    written = {one: who for one, who in table.items() if part_of(one) == part}
    if os.environ.get("STEPPER_WRITE_ROLES"):
        others = {one: who for one, who in table.items() if one not in written}
        lines = lines_of({**others, **found})
        FILE.write_text(_HEAD.format(staff=", ".join(STAFF)) + "\n".join(lines) + "\n")
        return
    wanted, got = set(lines_of(written)), set(lines_of(found))
    stale, new = sorted(wanted - got), sorted(got - wanted)
    assert stale + new == [], "\n".join(["only in the table:", *stale, "only found:", *new])


def give_role(user: User, key: str) -> User:
    """Make somebody staff with a role; the groups must have been made."""
    user.is_staff = True
    user.save()
    user.groups.add(Group.objects.get(name=BY_KEY[key].group_name))
    return user
