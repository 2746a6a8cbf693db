"""The places people name most, offered in the booking form before they reach for the map. Names are as on signs."""

from collections.abc import Sequence

from msgspec import Struct


class KnownPlace(Struct, frozen=True):
    name: str
    address: str
    lat: float
    lng: float


KNOWN: tuple[KnownPlace, ...] = (
    KnownPlace("Almaty", "City centre", 43.2220, 76.8512),
    KnownPlace("Almaty airport", "Mailin 2, Almaty", 43.3521, 77.0405),
    KnownPlace("Abay Square", "Dostyk Avenue 56, Almaty", 43.2430, 76.9577),
    KnownPlace("Medeu", "Gornaya 465, Almaty", 43.1622, 77.0800),
    KnownPlace("Shymbulak", "Ski resort, Almaty", 43.1381, 77.0658),
    KnownPlace("Kok-Tobe", "Cable car, Almaty", 43.2304, 76.9569),
    KnownPlace("Big Almaty Lake", "Almaty region", 43.0556, 76.9900),
    KnownPlace("Charyn canyon", "Almaty region", 43.3458, 79.0906),
    KnownPlace("Kolsai lakes", "Almaty region", 42.9667, 78.3333),
    KnownPlace("Kaindy lake", "Almaty region", 42.9939, 78.4850),
    KnownPlace("Altyn-Emel", "National park, Jetisu region", 43.7167, 78.5833),
    KnownPlace("Astana", "City centre", 51.1694, 71.4491),
    KnownPlace("Astana airport", "Kabanbay Batyr 119, Astana", 51.0222, 71.4669),
    KnownPlace("Baiterek", "Nurzhol boulevard, Astana", 51.1286, 71.4306),
    KnownPlace("Burabay", "Akmola region", 53.0833, 70.2833),
    KnownPlace("Karaganda", "City centre", 49.8047, 73.1094),
    KnownPlace("Shymkent", "City centre", 42.3417, 69.5901),
    KnownPlace("Aktobe", "City centre", 50.2839, 57.1670),
    KnownPlace("Aktau", "City centre", 43.6508, 51.1600),
    KnownPlace("Bishkek", "City centre, Kyrgyzstan", 42.8746, 74.5698),
    KnownPlace("Manas airport", "Bishkek, Kyrgyzstan", 43.0621, 74.4776),
    KnownPlace("Karakol", "Kyrgyzstan", 42.4908, 78.3936),
    KnownPlace("Issyk-Kul", "Kyrgyzstan", 42.4167, 77.2500),
    KnownPlace("Osh", "Kyrgyzstan", 40.5283, 72.7985),
    KnownPlace("Tashkent", "City centre, Uzbekistan", 41.2995, 69.2401),
    KnownPlace("Samarkand", "Uzbekistan", 39.6542, 66.9597),
)


def search(text: str, limit: int = 8) -> Sequence[KnownPlace]:
    """Search places by name or address; names that begin with the text come first. Empty text: the first ones."""
    wanted = text.casefold().strip()
    found = [place for place in KNOWN if wanted in f"{place.name} {place.address}".casefold()]
    found.sort(key=lambda place: not place.name.casefold().startswith(wanted))
    return found[:limit]


def named(text: str) -> KnownPlace | None:
    """Return the place of exactly this name, or the only one found by the text; None: there is no single one."""
    wanted = text.casefold().strip()
    if not wanted:
        return None
    for place in KNOWN:
        if place.name.casefold() == wanted:
            return place
    found = search(wanted, 2)
    return found[0] if len(found) == 1 else None
