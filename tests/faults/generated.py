"""Values, commands and frames for the fuzz tests: valid ones, made from the contract's own types, then damaged.

Case n of a seed is always the same one (but for the ids of rows), so a failure is replayed by the seed it names. Plain
`random`, not hypothesis: fifty thousand frames are made in seconds, few are alike, and who failed in a batch is found
by sending its frames one by one.
"""

import datetime as dt
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple, get_args

from msgspec import Struct
from msgspec import inspect as types

from realtime import events
from realtime.sockets.decoding import MAX_FRAME_BYTES

# Names of fields -> values that exist, so that some of what is generated reaches the domain.
World = Mapping[str, Sequence[Any]]
# Of ten commands or bodies so many are valid.
VALID = 2

# What both servers refuse to read, whatever it is.
SERVERS_LIMIT_BYTES = 1 << 20


class Raw(str):
    """JSON text that no encoder writes, put into a frame or body as it is."""

    __slots__ = ()


def randoms(seed: int, count: int) -> Iterator[Random]:
    """One for each case."""
    return (Random(f"{seed}:{number}") for number in range(count))


# JSON


def render(value: Any) -> str:
    """JSON, but for `Raw` text, which stays as it is."""
    match value:
        case Raw():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{render(name)}: {render(inner)}" for name, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(render(inner) for inner in value) + "]"
        case _:
            return json.dumps(value)


def _nested(depth: int) -> Raw:
    return Raw("[" * depth + "]" * depth)


WEIRD_TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "x" * 201,
    "x" * 5000,
    "\u202eوصل",
    "Ә ә Ғ",
    "e\u0301",
    "🚕" * 100,
    "\u2028",
    "\ufffe",
    "٣",
    "null",
    "1",
    "-1",
    "1e999",
    "True",
    "<script>alert(1)</script>",
    "{{ 7|add:7 }}",
    "%s%n%x",
    "'; DROP TABLE trips_trip; --",
    "../../etc/passwd",
)
WEIRD_INSTANTS = (
    "2030-05-01",
    "2030-05-01T09:00:00",
    "2030-02-30T09:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "2030-05-01T09:00:00+99:99",
    "2030-05-01T24:00:00Z",
    "2030-05-01T09:00:60Z",
    "20300501T0900Z",
)
WEIRD_NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1.5, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, -(10**30)),
    *map(Raw, ("-0", "-0.0", "1e308", "1e999", "-1e999", "1e-999", "0.1e1", "5e-324", "9" * 400, "1" + "0" * 4400)),
)
# Not JSON, or what decoders disagree about.
WEIRD_JSON = (
    *map(Raw, ("NaN", "Infinity", "-Infinity", "01", "+1", ".5", "0x10", "'a'", "undefined", "nul", "", "1 2")),
    *map(Raw, ('"\\ud800"', '"\\udc00\\ud800"', '"a\\udfffb"', '"\\u0000"', '"\\x41"', '"\t"', '"unended', "/**/1")),
    *map(Raw, ('{"a"}', '{"a":1,}', "[1,]", "{,}", '{"a":1,"a":2}', '{"\\ud800":1}', '{"":1}', "[", "{", "]", '{"a":')),
    *map(_nested, (2, 60, 400, 1500)),
    Raw('{"a":' * 900 + "1" + "}" * 900),
)
_EMPTY: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], [{}])
# Put into the bytes of something valid.
_ODD_BYTES = (b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5", b"\\", b'"', b",", b"}", b"\x7f", b"\xe2\x80")


def weird(random: Random) -> Any:
    match random.randrange(7):
        case 0:
            return random.choice(_EMPTY)
        case 1:
            return random.choice(WEIRD_TEXTS)
        case 2:
            return random.choice(WEIRD_INSTANTS)
        case 3:
            return random.choice(WEIRD_NUMBERS)
        case 4:
            return random.choice(WEIRD_JSON)
        case 5:
            return text(random, 40)
        case _:
            return random.choice((random.uniform(-200, 200), random.randrange(-(2**40), 2**40)))


def text(random: Random, longest: int) -> str:
    """Of any alphabet; never NUL or half of a pair, which are weird."""
    blocks = ((32, 127), (32, 127), (1, 32), (0xA0, 0x250), (0x400, 0x530), (0x590, 0x700), (0x1F300, 0x1F600))
    low, high = random.choice(blocks)
    return "".join(chr(random.randrange(low, high)) for _ in range(random.randint(0, longest)))


def damaged(random: Random, value: Any) -> Any:
    """`value` (mostly an object) with one thing wrong somewhere in it."""
    if not isinstance(value, dict) or not value or random.random() < 0.1:
        return weird(random)
    name = random.choice(sorted(value))
    inner = value[name]
    if isinstance(inner, dict) and random.random() < 0.6:
        return {**value, name: damaged(random, inner)}
    if isinstance(inner, list) and inner and random.random() < 0.6:
        place = random.randrange(len(inner))
        return {**value, name: [*inner[:place], damaged(random, inner[place]), *inner[place + 1 :]]}
    match random.randrange(9):
        case 0:
            return {key: kept for key, kept in value.items() if key != name}
        case 1:
            return {**value, random.choice(WEIRD_TEXTS): weird(random)}
        case 2:
            return {**value, name: [inner]}
        case 3:
            return {name.upper() if key == name else key: kept for key, kept in value.items()}
        case 4:
            return {**value, name: [inner] * random.choice((2, 100, 101))}
        case _:
            return {**value, name: weird(random)}


def damaged_bytes(random: Random, written: str) -> bytes:
    """`written` with one thing wrong in how it is written."""
    data = written.encode()
    at = random.randint(0, len(data))
    match random.randrange(9):
        case 0:
            return data[:at]
        case 1:
            return data + data
        case 2:
            return data.upper()
        case 3:
            return b"\xef\xbb\xbf" + data
        case 4:
            return written.encode("utf-16")
        case 5:
            return b"\r\n\t " * 20 + data + b" " * 20
        case 6:
            return b'{"type": "ping", "ref": 1, ' + data[1:]
        case _:
            return data[:at] + random.choice(_ODD_BYTES) + data[at:]


def body(random: Random, valid: Any) -> bytes:
    """JSON as a client might send it: mostly damaged, now and then as it should be."""
    kind = random.randrange(10)
    if kind < VALID:
        return render(valid).encode()
    if kind == VALID:
        return render(weird(random)).encode()
    written = render(damaged(random, valid))
    return damaged_bytes(random, written) if kind > 7 else written.encode()


# Valid values, from the types of the contract


def instant(random: Random) -> str:
    """Of these years, with an offset."""
    almaty = dt.timezone(dt.timedelta(hours=5))
    minutes = random.randrange(60 * 24 * 365 * 3)
    return (dt.datetime(2025, 6, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes)).astimezone(almaty).isoformat()


def between(random: Random, low: float, high: float, *, whole: bool) -> float:
    """At one of the bounds more often than not."""
    if random.random() < 0.3:
        return random.choice((low, high))
    return random.randint(int(low), int(min(high, low + 5000))) if whole else random.uniform(low, high)


def existing(random: Random, world: World, name: str) -> Any:
    """A value of a field of this name that exists, or one that hardly does; None: nothing is known of the name."""
    if not world.get(name):
        return None
    return random.choice(world[name]) if random.random() < 0.8 else random.choice((1, 2**31, 2**63 - 1))


def of_type(random: Random, kind: Any, world: World, name: str = "") -> Any:
    """A value that a msgspec type takes; `name` is the field's."""
    if (known := existing(random, world, name)) is not None:
        return known
    match kind:
        case types.StructType():
            return of_struct(random, kind, world)
        case types.IntType() | types.FloatType():
            low = next((one for one in (kind.ge, kind.gt) if one is not None), -1000)
            high = next((one for one in (kind.le, kind.lt) if one is not None), 1000)
            return between(random, low, high, whole=isinstance(kind, types.IntType))
        case types.StrType():
            return text(random, 20 if kind.max_length is None else min(kind.max_length, 40))
        case types.BoolType():
            return random.random() < 0.5
        case types.NoneType():
            return None
        case types.LiteralType():
            return random.choice(kind.values)
        case types.UnionType():
            return of_type(random, random.choice(kind.types), world)
        case types.ListType():
            count = max(kind.min_length or 0, random.randrange(4))
            return [of_type(random, kind.item_type, world, name.removesuffix("s")) for _ in range(count)]
        case types.DictType():
            keys = [of_type(random, kind.key_type, world) for _ in range(random.randrange(4))]
            return {key: of_type(random, kind.value_type, world) for key in keys}
        case types.DateTimeType():
            return instant(random)
        case _:
            raise TypeError(f"How to make a value of {kind}?")


def of_struct(random: Random, kind: types.StructType, world: World) -> dict[str, Any]:
    """Every required field and some of the others."""
    fields = [one for one in kind.fields if one.required or random.random() < 0.5]
    made = {one.encode_name: of_type(random, one.type, world, one.name) for one in fields}
    return made if kind.tag_field is None else {kind.tag_field: kind.tag, **made}


@cache
def described(kind: type[Struct]) -> types.StructType:
    """Read once: that takes longer than making a value."""
    found = types.type_info(kind)
    if not isinstance(found, types.StructType):
        raise TypeError(f"{kind} is no struct.")
    return found


# Frames


class Frame(NamedTuple):
    """A message as it goes into a socket; `cuts` are where it is cut into fragments."""

    payload: bytes
    is_text: bool = True
    cuts: tuple[int, ...] = ()

    @property
    def closes_with(self) -> frozenset[int]:
        """The codes that answer an attack; empty: the socket has to live."""
        if len(self.payload) > SERVERS_LIMIT_BYTES:
            # Cut off while it is still sent: the reset that TCP answers the rest with may overtake the code.
            return frozenset({1009, 1006})
        # Whichever of the two the server sees first.
        codes = {1009} if len(self.payload) > MAX_FRAME_BYTES else set()
        if self.is_text:
            try:
                self.payload.decode()
            except UnicodeDecodeError:
                codes.add(1007)
        return frozenset(codes)

    @property
    def fragments(self) -> list[bytes]:
        edges = [0, *sorted(cut % (len(self.payload) + 1) for cut in self.cuts), len(self.payload)]
        return [self.payload[start:end] for start, end in itertools.pairwise(edges)]


def frame(random: Random, world: World) -> Frame:
    """Of two hundred one is too large by our limit, and one by the server's own."""
    chance = random.randrange(200)
    if chance < 2:
        size = (MAX_FRAME_BYTES, SERVERS_LIMIT_BYTES + 1)[chance]
        return Frame(b'{"type": "ping", "ref": "' + b"x" * size + b'"}')
    if chance < 6:
        return Frame(b"", is_text=chance % 2 == 0)
    command = of_struct(random, described(random.choice(get_args(events.Command))), world)
    payload = body(random, command)
    if chance < 14:
        return Frame(payload, is_text=False)
    cuts = tuple(random.randrange(200) for _ in range(random.choice((0, 0, 0, 1, 4))))
    return Frame(payload, cuts=cuts)
