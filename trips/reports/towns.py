"""The town that a trip is counted for: the largest one around its pickup."""

from collections.abc import Iterable

from drivers.geo import centre, distance_km
from trips.models import PlaceKind
from trips.places import index

# As far from the middle of a town as its airport.
AROUND_KM = 30.0
# Villages are counted with the town they belong to, or with none.
LEAST_RANK = 43


class Towns:
    """The towns of the list of places as it is now; one or two queries to make it."""

    def __init__(self) -> None:
        places = (entry.place for entry in index.current().entries)
        self._towns = [one for one in places if one.kind == PlaceKind.CITY and one.rank >= LEAST_RANK]
        self._by_slug = {town.slug: town for town in self._towns}
        # By the cell of the grid, a kilometre wide: a day's pickups are in a few hundred of them.
        self._found: dict[int, str] = {}

    def around(self, cell: int) -> str:
        """Return the slug of the town of a pickup in this cell; empty: there is none."""
        found = self._found.get(cell)
        if found is None:
            found = self._found[cell] = self._largest(*centre(cell))
        return found

    def _largest(self, lat: float, lng: float) -> str:
        near = [
            (-town.rank, away, town.slug)
            for town in self._towns
            if abs(town.lat - lat) < 1 and (away := distance_km(town.lat, town.lng, lat, lng)) <= AROUND_KM
        ]
        return min(near)[2] if near else ""

    def name(self, slug: str) -> str:
        """Return a town's name in the active language; the slug itself where there is no such town any more."""
        town = self._by_slug.get(slug)
        return town.name if town else slug

    def named(self, slugs: Iterable[str]) -> list[tuple[str, str]]:
        """Return (slug, name) of towns by their names."""
        return sorted(((slug, self.name(slug)) for slug in slugs), key=lambda one: one[1])
