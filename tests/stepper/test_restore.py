"""`manage.py restore`: a backup of a live service goes on elsewhere; what would leave half of one is refused."""

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from realtime.models import Event, Notification
from realtime.outbox import make_cursor, read_watermark
from stepper.accounts.codes import has_second_factor
from stepper.accounts.reset_tokens import reset_tokens
from stepper.accounts.second_factor import count_recovery_codes
from stepper.api.tokens import sign_in
from stepper.backups import client_tools, folders, postgresql
from stepper.backups.renewal import renew
from stepper.models import Restore, SecurityEvent, User
from tests.backups import Installation, back_up, installation, refusal
from tests.factories import PASSWORD, PassengerFactory, TripFactory
from tests.factors import give_second_factor
from tests.live import LiveServer
from tests.stepper.test_backup import edit_manifest, file_of
from trips.models import Trip
from trips.states import Role, TripStatus

__all__ = ["installation"]

# Transactional: inside of `Installation.entered` Django's connection leads elsewhere.
pytestmark = pytest.mark.django_db(transaction=True)

Frame = dict[str, Any]


class Writer(threading.Thread):
    """Writes two rows in each transaction, as fast as it can, until it is stopped."""

    def __init__(self, users: list[User]) -> None:
        super().__init__()
        self.users = users
        self.written = 0
        self.has_written, self._stopped = threading.Event(), threading.Event()

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                Notification.objects.bulk_create([Notification(user=user, title="pair") for user in self.users])
                self.written += 1
                self.has_written.set()
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.start()
        assert self.has_written.wait(10)
        try:
            yield
        finally:
            self._stopped.set()
            self.join(10)


def test_backup_of_a_live_service_goes_on_in_an_empty_installation(
    tmp_path: Path, installation: Installation, start_server: Callable[..., LiveServer]
) -> None:
    trip: Trip = TripFactory(status=TripStatus.EN_ROUTE)
    assert trip.driver is not None
    driver, passenger = trip.driver.user, trip.organiser
    stolen = sign_in(passenger)["access"]
    writer = Writer([driver, passenger])
    with writer.writing():
        before = writer.written
        backup = back_up(tmp_path / "backups")
        assert writer.written > before
    # What the restored database does not know of.
    trip.move(TripStatus.DRIVER_ARRIVED, Role.DRIVER)
    Event.objects.update(published_at=trip.departure_at)
    lost = [make_cursor(read_watermark(), ""), make_cursor(1, ""), make_cursor(10**15, "")]
    lost_trip = TripFactory()

    with installation.entered():
        call_command("restore", str(backup), verbosity=0)
        told = set(Notification.objects.filter(title="pair").values_list("user", "title"))
        pairs = [Notification.objects.filter(user=user, title="pair").count() for user in (driver, passenger)]
        assert Event.objects.count() == 0
        assert SecurityEvent.objects.filter(event="database.restored").count() == 1
    assert told == {(driver.pk, "pair"), (passenger.pk, "pair")}
    assert pairs[0] == pairs[1] > 0

    server = start_server(**installation.environ)
    with httpx.Client(base_url=f"{server.url}/api/", trust_env=False, timeout=20) as client:
        assert client.get("trips", headers={"Authorization": f"Bearer {stolen}"}).status_code == 401
        tokens = {user: token(client, user) for user in (driver, passenger)}
        shown = asyncio.run(resume(server, tokens[passenger], lost))
        # Clients ignore a version that is lower than one they have seen.
        assert [frame["status"] for frame in shown] == ["en_route"] * 3
        assert {frame["version"] > trip.version for frame in shown} == {True}
        for status in ("driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed"):
            answer = client.put(
                f"drivers/trips/{trip.pk}/status",
                json={"status": status, "lat": trip.pickup_lat, "lng": trip.pickup_lng},
                headers={"Authorization": f"Bearer {tokens[driver]}"},
            )
            assert (answer.status_code, answer.json()["status"]) == (200, status), answer.text
    with installation.entered():
        assert refusal("restore", backup, replace=True) == ("restore.in_use", 10)
    server.stop()
    with installation.entered():
        assert Trip.objects.get().status == TripStatus.COMPLETED
        assert TripFactory().pk > lost_trip.pk
    with installation.entered():
        assert refusal("restore", backup) == ("restore.not_empty", 9)
        call_command("restore", renew=True, verbosity=0)
        generations = list(Restore.objects.values_list("generation", flat=True))
    assert len(set(generations)) == 2
    with installation.entered():
        call_command("restore", str(backup), replace=True, verbosity=0)
        assert Trip.objects.get().status == TripStatus.EN_ROUTE
    with installation.entered(kept(installation)):
        assert Trip.objects.get(pk=trip.pk).status == TripStatus.COMPLETED


def token(client: httpx.Client, user: User) -> str:
    answer = client.post("token", json={"email": user.email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access"])


async def resume(server: LiveServer, access: str, cursors: list[str]) -> list[Frame]:
    """The snapshots that come instead of what was missed since each of the cursors; from one of its own it goes on."""
    protocols = [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{access}")]
    shown = []
    async with connect(f"{server.ws_url}/ws/", subprotocols=protocols, proxy=None) as socket, asyncio.timeout(20):

        async def until(*kinds: str) -> Frame:
            while True:
                frame: Frame = msgspec.json.decode(await socket.recv())
                if frame["type"] in kinds:
                    return frame

        await until("trip.snapshot")
        for cursor in cursors:
            await socket.send(json.dumps({"type": "resume", "cursor": cursor, "ref": cursor}))
            answer = await until("error", "ack")
            assert (answer.get("code"), answer["ref"]) == ("resync.required", cursor)
            shown.append(await until("trip.snapshot"))
        own = ""
        while not own:
            await socket.send('{"type": "ping"}')
            own = (await until("heartbeat"))["cursor"]
        await socket.send(json.dumps({"type": "resume", "cursor": own, "ref": "own"}))
        assert (await until("error", "ack"))["type"] == "ack"
    return shown


def kept(installation: Installation) -> str:
    """The database that a restore replaced."""
    (name,) = set(installation.databases()) - {installation.name}
    return name


def test_restore_that_fails_while_loading_leaves_nothing(tmp_path: Path, installation: Installation) -> None:
    backup = back_up(tmp_path / "backups")
    rows = folders.read_manifest(backup).rows
    edit_manifest(backup, rows=rows | {"auth_permission": rows["auth_permission"] + 1})

    with installation.entered():
        assert refusal("restore", backup) == ("backup.damaged", 6)

    assert installation.databases() == []


# PostgreSQL: what else is in the database


@pytest.fixture
def tables_of_others() -> Iterator[None]:
    """A schema that is not in the search path, with tables of the service's names, and an extension's table.

    PostGIS has such a table (`spatial_ref_sys`), and so gets plpgsql, which every database has.
    """
    with connection.cursor() as cursor:
        cursor.execute('CREATE SCHEMA "Reports (old)"')
        cursor.execute('CREATE TABLE "Reports (old)"."Sales of ""May""" AS SELECT generate_series(1, 2)')
        cursor.execute('CREATE TABLE "Reports (old)".stepper_user AS SELECT generate_series(1, 3)')
        cursor.execute('CREATE TABLE "Reports (old)".django_session AS SELECT generate_series(1, 4)')
        cursor.execute('CREATE TABLE "Reports (old)".nothing ()')
        cursor.execute("CREATE TABLE spatial_ref_sys AS SELECT generate_series(1, 5)")
        cursor.execute("ALTER EXTENSION plpgsql ADD TABLE spatial_ref_sys")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER EXTENSION plpgsql DROP TABLE spatial_ref_sys")
        cursor.execute("DROP TABLE spatial_ref_sys")
        cursor.execute('DROP SCHEMA "Reports (old)" CASCADE')


@pytest.mark.scaled_only
@pytest.mark.usefixtures("tables_of_others")
def test_tables_of_others_are_in_the_backup_and_not_in_its_manifest(tmp_path: Path, installation: Installation) -> None:
    backup = back_up(tmp_path / "backups")
    rows = folders.read_manifest(backup).rows
    assert rows["stepper_user"] == 0
    assert set(rows).isdisjoint({'Sales of "May"', "django_session", "nothing", "spatial_ref_sys"})

    with installation.entered():
        call_command("restore", str(backup), verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute(
                'SELECT (SELECT count(*) FROM "Reports (old)"."Sales of ""May"""), '
                '(SELECT count(*) FROM "Reports (old)".stepper_user), '
                '(SELECT count(*) FROM "Reports (old)".django_session)'
            )
            assert cursor.fetchone() == (2, 3, 4)
    with installation.entered():
        # Nobody has an account in it, but a restore would replace the other schema as well.
        assert refusal("restore", backup) == ("restore.not_empty", 9)


@pytest.mark.scaled_only
def test_connection_that_is_just_closing_is_waited_for(
    tmp_path: Path, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was stopped the moment before is still listed by PostgreSQL."""
    backup = back_up(tmp_path / "backups")
    with installation.entered():
        call_command("restore", str(backup), verbosity=0)
    other = client_tools.connect(installation.name)
    waits: list[float] = []

    def close_other(seconds: float) -> None:
        other.close()
        waits.append(seconds)

    monkeypatch.setattr(postgresql, "sleep", close_other)
    with installation.entered():
        call_command("restore", str(backup), verbosity=0)
    assert waits


# What is refused, before anything is touched: of the files no database plays a part in it.


def flip_a_bit(backup: Path) -> None:
    with open(file_of(backup), "r+b") as file:
        file.seek(5_000)
        byte = file.read(1)[0]
        file.seek(5_000)
        file.write(bytes([byte ^ 1]))


def cut_off(backup: Path) -> None:
    os.truncate(file_of(backup), 4096)


def lose_the_file(backup: Path) -> None:
    file_of(backup).unlink()


def lose_the_manifest(backup: Path) -> None:
    (backup / folders.MANIFEST).unlink()


def garble_the_manifest(backup: Path) -> None:
    (backup / folders.MANIFEST).write_text("[]")


def come_from_a_newer_release(backup: Path) -> None:
    migrations = folders.read_manifest(backup).migrations
    edit_manifest(backup, migrations=[*migrations, "trips.9999_of_tomorrow"])


def have_a_newer_format(backup: Path) -> None:
    edit_manifest(backup, format=2, database="something new")


def come_from_postgresql(backup: Path) -> None:
    edit_manifest(backup, database="postgresql")


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("happen", "refused"),
    [
        (flip_a_bit, ("backup.damaged", 6)),
        (cut_off, ("backup.damaged", 6)),
        (lose_the_file, ("backup.damaged", 6)),
        (lose_the_manifest, ("backup.damaged", 6)),
        (garble_the_manifest, ("backup.damaged", 6)),
        (come_from_a_newer_release, ("backup.newer_release", 7)),
        (have_a_newer_format, ("backup.newer_release", 7)),
        (come_from_postgresql, ("backup.other_database", 8)),
    ],
)
def test_backup_that_cannot_be_restored_is_refused(
    tmp_path: Path, installation: Installation, happen: Callable[[Path], None], refused: tuple[str, int]
) -> None:
    backup = back_up(tmp_path / "backups")
    happen(backup)

    with installation.entered():
        assert refusal("restore", backup) == refused

    assert list(installation.folder.iterdir()) == []


@pytest.mark.embedded_only
def test_damaged_database_is_replaced_and_kept(tmp_path: Path, installation: Installation) -> None:
    backup = back_up(tmp_path / "backups")
    Path(installation.name).write_bytes(b"no database" * 1000)
    Path(f"{installation.name}-wal").write_bytes(b"nor its log" * 1000)

    with installation.entered():
        assert refusal("restore", backup) == ("restore.not_empty", 9)
        call_command("restore", str(backup), replace=True, verbosity=0)

    assert Path(kept(installation)).read_bytes() == b"no database" * 1000
    assert not Path(f"{installation.name}-wal").exists()
    with closing(sqlite3.connect(installation.name)) as restored:
        assert restored.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert Path(installation.name).stat().st_mode & 0o777 == 0o600


@pytest.mark.embedded_only
def test_database_open_in_another_process_is_not_replaced(tmp_path: Path, installation: Installation) -> None:
    backup = back_up(tmp_path / "backups")
    with installation.entered():
        call_command("restore", str(backup), verbosity=0)
    before = Path(installation.name).read_bytes()
    with closing(sqlite3.connect(installation.name)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("SELECT count(*) FROM stepper_restore").fetchall()

        with installation.entered():
            assert refusal("restore", backup, replace=True) == ("restore.in_use", 10)

        assert other.execute("SELECT count(*) FROM stepper_restore").fetchall() == [(1,)]
    assert len(Path(installation.name).read_bytes()) == len(before)


@pytest.mark.embedded_only
def test_backup_of_an_older_release_is_migrated(tmp_path: Path, installation: Installation) -> None:
    new = back_up(tmp_path / "new")
    names = sorted(name for app, name in MigrationLoader(None).disk_migrations or {} if app == "stepper")
    with installation.entered():
        call_command("restore", str(new), verbosity=0)
        call_command("migrate", "stepper", names[-2], verbosity=0)
        old = back_up(tmp_path / "old")
        assert f"stepper.{names[-1]}" not in folders.read_manifest(old).migrations

        call_command("restore", str(old), replace=True, verbosity=0)

        restored = MigrationRecorder(connection).applied_migrations()
    assert sorted(f"{app}.{name}" for app, name in restored) == folders.read_manifest(new).migrations


@pytest.mark.embedded_only
def test_restore_wants_a_backup_or_renew() -> None:
    assert refusal("restore")[1] == 2


def test_recovery_codes_end_with_a_restore_and_the_app_goes_on() -> None:
    """Those that were used since the backup would be good again."""
    user = PassengerFactory()
    give_second_factor(user)
    assert count_recovery_codes(user) > 0
    renew(None)
    assert count_recovery_codes(user) == 0
    assert has_second_factor(user)


def test_link_that_sets_a_password_ends_with_a_restore() -> None:
    user = PassengerFactory()
    link = reset_tokens.make_token(user)
    assert reset_tokens.check_token(user, link)

    renew(None)

    assert not reset_tokens.check_token(user, link)
    assert reset_tokens.check_token(user, reset_tokens.make_token(user))
