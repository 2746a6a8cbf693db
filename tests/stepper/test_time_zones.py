"""Time zones are the pinned package's, also on a machine whose own are of before Kazakhstan's change of 2024."""

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from stepper.time_zones import HOME, require_today_in_almaty, use_pinned_time_zones

pytestmark = pytest.mark.embedded_only

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def old_machine(tmp_path: Path) -> Iterator[Path]:
    """A machine on which Almaty is at +06:00, as Bishkek is."""
    zone = tmp_path / HOME
    zone.parent.mkdir()
    zone.write_bytes(files("tzdata.zoneinfo.Asia").joinpath("Bishkek").read_bytes())
    zoneinfo.reset_tzpath(to=[tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    yield zone
    use_pinned_time_zones()


def test_almaty_is_at_five_whatever_the_machine_says(old_machine: Path) -> None:
    assert NOON.astimezone(zoneinfo.ZoneInfo(HOME)).hour == 18
    use_pinned_time_zones()
    assert NOON.astimezone(zoneinfo.ZoneInfo(HOME)).hour == 17


def test_settings_use_the_package() -> None:
    assert zoneinfo.TZPATH == ()


def test_old_data_are_an_error_at_start(old_machine: Path) -> None:
    with old_machine.open("rb") as file, pytest.raises(ImproperlyConfigured, match=r"not 6:00:00\. Run make setup"):
        require_today_in_almaty(zoneinfo.ZoneInfo.from_file(file, key=HOME))
