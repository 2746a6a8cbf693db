"""The places in memory, by their folded words: search with prefixes, typing mistakes and the map's centre.

Each process keeps one index. Before each use one query of the table's totals (`_read_version`) says whether a row was
added, changed or deleted by any process; then the index is read anew, which takes some 50 ms for a thousand places.
"""

import bisect
import math
import threading
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Count, Max, Sum
from rapidfuzz import process
from rapidfuzz.distance import OSA

from drivers.geo import distance_km
from trips.models import Place, PlaceKind

from .curated import regions
from .folding import words

# Words that say what a place is; they find it, whatever its name says.
_KIND_WORDS: Final = {
    PlaceKind.AIRPORT: "аэропорт airport әуежай әуежайы aeroport aeroporti aerodrom аэропорты международный "
    "international халықаралық terminal терминал",
    PlaceKind.STATION: "вокзал station вокзалы бекет бекеті жд railway bus автовокзал",
    PlaceKind.CITY: "город city town қала қаласы қ г аул село поселок village ауыл ауылы центр center centre",
    PlaceKind.SIGHT: "",
    PlaceKind.OTHER: "",
}
# Left out of a query that has other words.
_FILLERS: Final = frozenset(
    word
    for text in ("в на до из от с to from the in at дейін қаласына область обл облысы region",)
    for word in words(text)
)
# How well a word of the query fits one of the place: as it is, as its beginning, with a typing mistake.
_EXACT, _PREFIX, _FUZZY = 1.0, 0.75, 0.55
# A word of the region or of the kind is worth less than one of the name.
_CONTEXT: Final = 0.7
_WHOLE_NAME, _NAME_BEGINS, _NAME_ALONE = 3.0, 1.5, 1.0
_PER_WORD: Final = 6.0
_PER_RANK: Final = 0.07
_POPULAR: Final = 0.5
# What a place at the map's centre gets more, and the distance at which it is a third of that.
_NEAR, _NEAR_KM = 2.5, 60.0
# Shorter words are other words with one letter changed.
_FUZZY_FROM, _TWO_MISTAKES_FROM = 4, 8

LatLng = tuple[float, float]


class Entry:
    """A place with its folded names, each a tuple of words."""

    __slots__ = ("context", "has_namesake", "names", "near_city", "place", "spelled")

    def __init__(self, place: Place) -> None:
        self.place = place
        texts = [place.name_en, place.name_ru, place.name_kk, *place.aliases.split(";")]
        # As people write them, and, for search, in one word: "Kok-Tobe" is found as "koktobe".
        self.spelled = tuple(name for name in dict.fromkeys(words(text) for text in texts) if name)
        joined = [("".join(name),) for name in self.spelled if 1 < len(name) <= 3]
        self.names = tuple(dict.fromkeys([*self.spelled, *joined]))
        around = [place.address_en, place.address_ru, place.address_kk, _KIND_WORDS[PlaceKind(place.kind)]]
        for code in (place.region, place.country):
            if (region := regions().get(code)) is not None:
                around += [region.name_en, region.name_ru, region.name_kk]
        self.context: frozenset[str] = frozenset(word for text in around for word in words(text))
        # Another place is shown under the same name, in one of the languages.
        self.has_namesake = False
        # The nearest larger town, where another place of this name is in the same region.
        self.near_city: Place | None = None

    @property
    def position(self) -> LatLng:
        return self.place.lat, self.place.lng

    def distance_km(self, point: LatLng) -> float:
        return distance_km(*self.position, *point)


class Index:
    """All places that are shown. It is never changed once it is made."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.entries = [Entry(place) for place in places]
        self._by_name: dict[str, set[int]] = defaultdict(set)
        self._by_context: dict[str, set[int]] = defaultdict(set)
        self._whole: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, entry in enumerate(self.entries):
            for name in entry.spelled:
                self._whole[name].append(number)
            for name in entry.names:
                for word in name:
                    self._by_name[word].add(number)
            for word in entry.context:
                self._by_context[word].add(number)
        self._vocabulary = sorted({*self._by_name, *self._by_context})
        self._tell_namesakes_apart()

    def _tell_namesakes_apart(self) -> None:
        shown: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
        for entry in self.entries:
            place = entry.place
            for name in {words(text) for text in (place.name_en, place.name_ru, place.name_kk)} - {()}:
                shown[name].append(entry)
        for namesakes in shown.values():
            for entry in namesakes if len(namesakes) > 1 else ():
                entry.has_namesake = True
        large = [entry for entry in self.entries if entry.place.kind == PlaceKind.CITY and entry.place.rank >= 43]
        groups: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
        for entry in self.entries:
            groups[words(entry.place.name_en), entry.place.country, entry.place.region].append(entry)
        for group in groups.values():
            for entry in group if len(group) > 1 else ():
                others = [one for one in large if one.place.name_en != entry.place.name_en]
                nearest = min(others, key=lambda one: one.distance_km(entry.position), default=None)
                entry.near_city = nearest.place if nearest else None

    def search(self, text: str, *, near: LatLng | None = None, limit: int) -> list[Entry]:
        """Return the places that have every word of the text, the best first; with typing mistakes if none has."""
        query = words(text)
        query = tuple(word for word in query if word not in _FILLERS) or query
        if not query:
            return []
        found = self._match(query, fuzzy=False)
        if not found and len(query) > 1:
            found = self._match(("".join(query),), fuzzy=False)
        found = found or self._match(query, fuzzy=True)
        scores = {number: self._score(number, query, fit, near) for number, fit in found.items()}
        best = sorted(scores, key=lambda number: (-scores[number], self.entries[number].place.pk))
        return [self.entries[number] for number in best[:limit]]

    def named(self, text: str) -> list[Entry]:
        """Return the places with exactly this name, the greatest first."""
        numbers = dict.fromkeys(self._whole.get(words(text), ()))
        return sorted((self.entries[number] for number in numbers), key=lambda entry: -entry.place.rank)

    def matching(self, text: str) -> list[Entry]:
        """Return the places that have every word of the text, or one that it is the beginning of."""
        query = words(text)
        return [self.entries[number] for number in self._match(query, fuzzy=False)] if query else []

    def popular(self) -> list[Entry]:
        """Return the places that are shown before anything is typed, in their order."""
        chosen = [(entry.place.popular, entry.place.pk, entry) for entry in self.entries if entry.place.popular]
        return [entry for _number, _pk, entry in sorted(chosen, key=lambda one: one[:2])]

    def nearest(self, point: LatLng) -> tuple[Entry, float] | None:
        """Return the place nearest to a point, and how far it is in km; None: there are no places."""
        lat, lng = point
        narrow = math.cos(math.radians(lat))

        def squared(entry: Entry) -> float:
            beside = abs(entry.place.lng - lng)
            return (entry.place.lat - lat) ** 2 + (min(beside, 360 - beside) * narrow) ** 2

        best = min(self.entries, key=squared, default=None)
        return (best, best.distance_km(point)) if best else None

    def _match(self, query: tuple[str, ...], *, fuzzy: bool) -> dict[int, float]:
        """Return how well each place fits that has every word of the query, at most 1."""
        total: dict[int, float] | None = None
        for word in query:
            fits = self._fits(word)
            if fuzzy:
                fits = self._fuzzy_fits(word) | fits
            total = fits if total is None else {key: total[key] + fits[key] for key in total.keys() & fits.keys()}
            if not total:
                break
        return {key: value / len(query) for key, value in (total or {}).items()}

    def _fits(self, word: str) -> dict[int, float]:
        """Return how well a word fits the places that have it, or a word that it is the beginning of."""
        fits: dict[int, float] = {}
        at = bisect.bisect_left(self._vocabulary, word)
        while at < len(self._vocabulary) and self._vocabulary[at].startswith(word):
            self._add(fits, self._vocabulary[at], _EXACT if self._vocabulary[at] == word else _PREFIX)
            at += 1
        return fits

    def _fuzzy_fits(self, word: str) -> dict[int, float]:
        """Return how well a word fits places with a similar one, or with one whose beginning is similar."""
        fits: dict[int, float] = {}
        if len(word) < _FUZZY_FROM or any(one.isdigit() for one in word):
            return fits
        most = 2 if len(word) >= _TWO_MISTAKES_FROM else 1
        beginnings = [one[: len(word)] for one in self._vocabulary]
        for choices, fit in ((beginnings, _FUZZY - 0.1), (self._vocabulary, _FUZZY)):
            similar = process.extract(word, choices, scorer=OSA.distance, score_cutoff=most, limit=None)
            for _word, mistakes, at in similar:
                self._add(fits, self._vocabulary[at], fit - 0.15 * (mistakes - 1))
        return fits

    def _add(self, fits: dict[int, float], word: str, fit: float) -> None:
        for number in self._by_name.get(word, ()):
            fits[number] = max(fits.get(number, 0), fit)
        for number in self._by_context.get(word, ()):
            fits[number] = max(fits.get(number, 0), fit * _CONTEXT)

    def _score(self, number: int, query: tuple[str, ...], fit: float, near: LatLng | None) -> float:
        entry = self.entries[number]
        score = fit * _PER_WORD + entry.place.rank * _PER_RANK + (_POPULAR if entry.place.popular else 0)
        bonus = 0.0
        for name in entry.names:
            if sorted(name) == sorted(query):
                bonus = max(bonus, _WHOLE_NAME)
            elif name[0].startswith(query[0]):
                bonus = max(bonus, _NAME_BEGINS)
            elif all(any(one.startswith(word) for one in name) for word in query):
                bonus = max(bonus, _NAME_ALONE)
        if near is not None:
            score += _NEAR * math.exp(-entry.distance_km(near) / _NEAR_KM)
        return score + bonus


_lock = threading.Lock()
_current: tuple[tuple[Any, ...], Index] | None = None


def _read_version() -> tuple[Any, ...]:
    """Return what differs after every change of the table, whatever the order in which transactions commit."""
    totals = Place.objects.order_by().aggregate(
        rows=Count("pk"), revisions=Sum("revision"), last=Max("pk"), changed=Max("changed_at")
    )
    return totals["rows"], totals["revisions"], totals["last"], totals["changed"]


def current() -> Index:
    """Return the index of the table as it is now: one query, two where it has changed."""
    global _current
    version = _read_version()
    kept = _current
    if kept is not None and kept[0] == version:
        return kept[1]
    with _lock:
        kept = _current
        if kept is None or kept[0] != version:
            # Read after its version: what is committed in between is in it, and the next version is another one.
            kept = _current = version, Index(Place.objects.filter(is_shown=True).order_by("pk"))
    return kept[1]
