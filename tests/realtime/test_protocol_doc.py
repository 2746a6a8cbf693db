"""docs/protocol.md against the code: its examples are replayed, its tables compared.

A fenced block of the document is a scene: each → is sent over the real application's socket, and each ← and ⇐ after it
must then arrive as written, apart from what no document can know (instants, ids, cursors). Blocks without a command
show an event; they must be frames of the contract.
"""

import ast
import datetime as dt
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from channels.db import database_sync_to_async
from django.conf import settings

import stepper.api  # noqa: F401 - its errors are looked for among the subclasses
import trips.models  # noqa: F401
from drivers.models import DriverPosition
from realtime import events
from realtime.sockets import close_codes
from stepper.api import urls
from stepper.errors import DomainError
from stepper.models import ServiceSettings, User
from tests.factories import DriverFactory, OfferFactory, TripFactory
from trips.serializers import TripSerializer
from trips.states import OfferStatus, TripStatus

from .conftest import Client, Connect, Frame

ROOT = Path(settings.BASE_DIR)
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text()
BLOCKS = re.findall(r"^```json\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
COMMAND, REPLY, BROADCAST = "→", "←", "⇐"
# What differs from one run to the next.
VOLATILE = {"timestamp", "id", "cursor", "message_id"}
# The cursor of `connection.established` in the examples.
CURSOR = "81200.1777886939"


class Message(NamedTuple):
    arrow: str
    json: Frame


def _messages(block: str) -> list[Message]:
    parts = re.split(r"^([→←⇐]) ", block, flags=re.MULTILINE)[1:]
    return [Message(arrow, json.loads(text)) for arrow, text in zip(parts[::2], parts[1::2], strict=True)]


SCENES = [messages for block in BLOCKS if (messages := _messages(block))]
COMMANDS = [messages for messages in SCENES if messages[0].arrow == COMMAND]
FRAMES = [message.json for messages in SCENES for message in messages if message.arrow != COMMAND]


def _name(example: Any) -> str:
    frame = example[0].json if isinstance(example, list) else example
    return f"{frame['type']}-{frame['ref']}" if "ref" in frame else str(frame["type"])


def _tags(union: Any) -> set[str]:
    return {str(one.__struct_config__.tag) for one in get_args(union)}


# Examples


def test_every_event_has_an_example() -> None:
    assert {frame["type"] for frame in FRAMES} == _tags(events.Frame)


def test_every_command_has_an_example() -> None:
    shown = {message.json["type"] for messages in COMMANDS for message in messages if message.arrow == COMMAND}
    assert shown == _tags(events.Command)


@pytest.mark.parametrize("frame", FRAMES, ids=_name)
def test_event_is_a_frame_of_the_contract(frame: Frame) -> None:
    decoded = events.decode_frame(json.dumps(frame))
    encoded = json.loads(events.encode(decoded))
    without = {"cursor"} - encoded.keys()
    assert encoded == {name: value for name, value in frame.items() if name not in without}
    assert ("cursor" in frame) == ("cursor" in encoded or isinstance(decoded, get_args(events.DurableFrame)))


class Scene(NamedTuple):
    """The rows that the examples speak of."""

    user: User
    trip_ids: dict[int, int]
    offer_ids: dict[int, int]


def _prepare(messages: list[Message]) -> Scene:
    driver = DriverFactory.create(at=(43.2475, 76.9481), user__name="Daniyar Seitkali")
    # Shortly before the points of the examples.
    DriverPosition.objects.update(recorded_at=dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC))
    offered, taken = TripFactory.create(), TripFactory.create(status=TripStatus.ACCEPTED)
    later = TripFactory.create(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(hours=5))
    trip_ids = {41: offered.pk, 42: later.pk, 43: taken.pk}
    settings = ServiceSettings(pk=1, tracking_opens_min=5 * 60)
    if any(message.json.get("trip_id") == 44 for message in messages):
        # Who is at a pickup is busy, and accepts nothing.
        settings.boarding_code = True
        boarding = TripFactory.create(status=TripStatus.DRIVER_ARRIVED, driver=driver, boarding_code="4821")
        trip_ids[44] = boarding.pk
    settings.save()
    open_offer = OfferFactory.create(trip=offered, driver=driver)
    lost = OfferFactory.create(trip=taken, driver=driver, status=OfferStatus.WITHDRAWN, reason="accepted_by_another")
    return Scene(
        user=driver.user,
        trip_ids=trip_ids,
        offer_ids={107: open_offer.pk, 109: lost.pk},
    )


def _in_scene(message: Frame, scene: Scene, cursor: str) -> Frame:
    """A documented message with the ids of the scene."""
    found = dict(message)
    if "trip_id" in found:
        found["trip_id"] = scene.trip_ids[found["trip_id"]]
    if "trip_ids" in found:
        found["trip_ids"] = [scene.trip_ids[pk] for pk in found["trip_ids"]]
    if "offer_id" in found:
        found["offer_id"] = scene.offer_ids[found["offer_id"]]
    if found.get("cursor") == CURSOR:
        found["cursor"] = cursor
    return found


def _stable(frame: Frame) -> Frame:
    """A frame with its volatile members blanked: they must be there, their values are their own."""
    return {name: "…" if name in VOLATILE else value for name, value in frame.items()}


async def _expect(client: Client, wanted: list[Frame]) -> None:
    """Reads frames until each wanted one has come; the state on connect passes by."""
    waiting = [_stable(frame) for frame in wanted]
    while waiting:
        came = _stable(await client.receive())
        mine = [frame for frame in waiting if frame["type"] == came["type"] and frame.get("ref") == came.get("ref")]
        if mine:
            assert came == mine[0]
            waiting.remove(mine[0])


@pytest.mark.parametrize("messages", COMMANDS, ids=_name)
async def test_command_is_answered_as_documented(connect: Connect, messages: list[Message]) -> None:
    scene = await database_sync_to_async(_prepare)(messages)
    client = await connect(scene.user, greeted=False)
    cursor = (await client.until("connection.established"))["cursor"]
    sent, *answers = messages
    assert isinstance(events.decode_command(json.dumps(sent.json)), get_args(events.Command))
    assert answers
    await client.send_text(json.dumps(_in_scene(sent.json, scene, cursor)))
    await _expect(client, [_in_scene(answer.json, scene, cursor) for answer in answers])


# What is said beside the examples


@pytest.mark.parametrize(("hours", "shown"), [(1, True), (5, False)])
async def test_snapshot_has_a_position_only_where_tracking_is_open(connect: Connect, hours: int, shown: bool) -> None:
    trip = await database_sync_to_async(TripFactory.create)(status=TripStatus.ACCEPTED, in_=dt.timedelta(hours=hours))
    client = await connect(trip.organiser)
    assert ((await client.until("trip.snapshot"))["location"] is not None) == shown


# Tables


def _error_classes() -> dict[str, int]:
    found, waiting = {}, [DomainError]
    while waiting:
        error = waiting.pop()
        found[error.__name__] = error.status
        waiting += error.__subclasses__()
    return found


def _modules() -> Iterator[ast.Module]:
    """What answers clients; the administration's own refusals never leave it, the simulated city is a client."""
    for app in ("stepper", "trips", "drivers", "realtime"):
        for path in sorted((ROOT / app).rglob("*.py")):
            if path.name != "admin.py" and not {"migrations", "management", "simulator", "admin"} & set(path.parts):
                yield ast.parse(path.read_text())


def _raised(module: ast.Module) -> Iterator[tuple[str, int | None]]:
    """(code, HTTP status) of every refusal a module makes; None: only over the socket."""
    classes = _error_classes()
    for node in ast.walk(module):
        match node:
            case ast.Call(
                func=ast.Name(id="ProtocolError"), args=[ast.Constant(value=int(status)), ast.Constant(value=code), *_]
            ):
                yield str(code), status
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(code)), *_]) if name in classes:
                yield code, classes[name]
            case ast.Call(func=ast.Name(id=name), keywords=[ast.keyword("code", ast.Constant(value=str(code)))]) if (
                name in classes
            ):
                yield code, classes[name]
            case ast.Call(func=ast.Attribute(attr="_send_error"), args=[ast.Constant(value=str(code)), *_]):
                yield code, None
            case ast.Dict(keys=[ast.Constant(value="code"), *_], values=[ast.Constant(value=str(code)), *_]):
                yield code, None
            case ast.ClassDef(name=name, body=body) if name in classes:
                for inner in (one for part in body for one in ast.walk(part)):
                    match inner:
                        case ast.Call(
                            func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"),
                            args=[ast.Constant(value=str(code)), *_],
                        ):
                            yield code, classes[name]


@cache
def _raised_anywhere() -> dict[str, set[int | None]]:
    found: dict[str, set[int | None]] = {}
    for module in _modules():
        for code, status in _raised(module):
            found.setdefault(code, set()).add(status)
    return found


def _section(title: str) -> str:
    return DOCUMENT.split(f"\n# {title}\n")[1].split("\n# ")[0]


ERROR_ROWS = dict(re.findall(r"^\| `([a-z_.]+)` \| (\d+|–) \|", _section("Errors"), re.MULTILINE))


def test_every_error_code_is_documented_and_no_other() -> None:
    assert set(ERROR_ROWS) == set(_raised_anywhere())


@pytest.mark.parametrize(("code", "status"), ERROR_ROWS.items())
def test_error_code_has_the_documented_status(code: str, status: str) -> None:
    raised = _raised_anywhere()[code] - {None}
    # Refusals of a socket are made from the same classes, whose status then nobody sees.
    assert status == "–" or not raised or int(status) in raised


def test_every_close_code_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d{4}) \|", _section("The socket"), re.MULTILINE)}
    assert {value for name, value in vars(close_codes).items() if name.startswith("CLOSE_")} <= documented


def _routes() -> Iterator[str]:
    for route in urls.urlpatterns:
        view = getattr(route.callback, "view_class", None)
        if view is not None:
            path = re.sub(r"<[^>]*>", "<id>", str(route.pattern))
            yield from (
                f"{verb.upper()} /api/{path}"
                for verb in ("get", "post", "put", "patch", "delete")
                if hasattr(view, verb)
            )


def test_every_request_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `([A-Z]+ /api/[^`]*)` \|", _section("REST"), re.MULTILINE)
    assert sorted(re.sub(r"<[^>]*>", "<id>", one) for one in documented) == sorted(_routes())


def test_trip_is_answered_with_the_documented_members() -> None:
    shown = next(json.loads(block) for block in BLOCKS if block.startswith("{"))
    assert tuple(shown) == TripSerializer.Meta.fields
