"""The places people name most, offered in the booking form before they reach for the map, in the reader's language."""

from collections.abc import Sequence

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as N_  # noqa: N812 - as Babel and everybody call it
from msgspec import Struct


class KnownPlace(Struct, frozen=True):
    """A place with its English words; `name` and `address` are in the language that is active."""

    english_name: str
    english_address: str
    lat: float
    lng: float

    @property
    def name(self) -> str:
        return gettext(self.english_name)

    @property
    def address(self) -> str:
        return gettext(self.english_address)

    @property
    def words(self) -> str:
        """By which it is found: the reader's, and the English of signs and maps."""
        return f"{self.name} {self.address} {self.english_name}"


KNOWN: tuple[KnownPlace, ...] = (
    KnownPlace(N_("Almaty"), N_("City centre"), 43.2220, 76.8512),
    KnownPlace(N_("Almaty airport"), N_("Mailin 2, Almaty"), 43.3521, 77.0405),
    KnownPlace(N_("Abay Square"), N_("Dostyk Avenue 56, Almaty"), 43.2430, 76.9577),
    KnownPlace(N_("Medeu"), N_("Gornaya 465, Almaty"), 43.1622, 77.0800),
    KnownPlace(N_("Shymbulak"), N_("Ski resort, Almaty"), 43.1381, 77.0658),
    KnownPlace(N_("Kok-Tobe"), N_("Cable car, Almaty"), 43.2304, 76.9569),
    KnownPlace(N_("Big Almaty Lake"), N_("Almaty region"), 43.0556, 76.9900),
    KnownPlace(N_("Charyn canyon"), N_("Almaty region"), 43.3458, 79.0906),
    KnownPlace(N_("Kolsai lakes"), N_("Almaty region"), 42.9667, 78.3333),
    KnownPlace(N_("Kaindy lake"), N_("Almaty region"), 42.9939, 78.4850),
    KnownPlace(N_("Altyn-Emel"), N_("National park, Jetisu region"), 43.7167, 78.5833),
    KnownPlace(N_("Astana"), N_("City centre"), 51.1694, 71.4491),
    KnownPlace(N_("Astana airport"), N_("Kabanbay Batyr 119, Astana"), 51.0222, 71.4669),
    KnownPlace(N_("Baiterek"), N_("Nurzhol boulevard, Astana"), 51.1286, 71.4306),
    KnownPlace(N_("Burabay"), N_("Akmola region"), 53.0833, 70.2833),
    KnownPlace(N_("Karaganda"), N_("City centre"), 49.8047, 73.1094),
    KnownPlace(N_("Shymkent"), N_("City centre"), 42.3417, 69.5901),
    KnownPlace(N_("Aktobe"), N_("City centre"), 50.2839, 57.1670),
    KnownPlace(N_("Aktau"), N_("City centre"), 43.6508, 51.1600),
    KnownPlace(N_("Bishkek"), N_("City centre, Kyrgyzstan"), 42.8746, 74.5698),
    KnownPlace(N_("Manas airport"), N_("Bishkek, Kyrgyzstan"), 43.0621, 74.4776),
    KnownPlace(N_("Karakol"), N_("Kyrgyzstan"), 42.4908, 78.3936),
    KnownPlace(N_("Issyk-Kul"), N_("Kyrgyzstan"), 42.4167, 77.2500),
    KnownPlace(N_("Osh"), N_("Kyrgyzstan"), 40.5283, 72.7985),
    KnownPlace(N_("Tashkent"), N_("City centre, Uzbekistan"), 41.2995, 69.2401),
    KnownPlace(N_("Samarkand"), N_("Uzbekistan"), 39.6542, 66.9597),
)


def search(text: str, limit: int = 8) -> Sequence[KnownPlace]:
    """Search places by name or address; names that begin with the text come first. Empty text: the first ones."""
    wanted = text.casefold().strip()
    found = [place for place in KNOWN if wanted in place.words.casefold()]
    found.sort(key=lambda place: not place.name.casefold().startswith(wanted))
    return found[:limit]


def named(text: str) -> KnownPlace | None:
    """Return the place of exactly this name, or the only one found by the text; None: there is no single one."""
    wanted = text.casefold().strip()
    if not wanted:
        return None
    for place in KNOWN:
        if wanted in {place.name.casefold(), place.english_name.casefold()}:
            return place
    found = search(wanted, 2)
    return found[0] if len(found) == 1 else None
