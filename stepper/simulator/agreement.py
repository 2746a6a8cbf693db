"""Whether the figures of a replay's processes agree with its database, and with what the clients were told."""

from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic, sleep

from django.db.models import Count
from prometheus_client.parser import text_string_to_metric_families

from trips.models import DispatchRound, Offer, TripTransition
from trips.states import OfferStatus

# What a dispatcher does between two looks would be a difference that is none.
QUIET_WITHIN_S = 20.0

Figures = Mapping[str, int]
# Figure -> what the processes counted, what the database says.
Differences = dict[str, tuple[int, int]]

_COMPARED = ("stepper_offers_made", "stepper_offers", "stepper_trips", "stepper_searches")
# Of these figures the labels that are compared begin so. Other refusals are also those of strangers, and of sign-ins.
_COMPARED_LABELS = {"stepper_accepts": "accepted", "stepper_refusals": "offer."}


def read_figures(texts: list[str]) -> Figures:
    """Add up what several processes answer at /metrics, of the figures that are compared; nothing that is 0."""
    found: Counter[str] = Counter()
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = " ".join(sample.labels.values())
                beginning = _COMPARED_LABELS.get(family.name)
                if family.name in _COMPARED or (beginning is not None and labels.startswith(beginning)):
                    found[f"{sample.name} {labels}".strip()] += int(sample.value)
    return +found


def read_database(using: str) -> Figures:
    """Count the same in the database."""
    found: Counter[str] = Counter()
    made = dict(Offer.objects.using(using).order_by().values_list("status").annotate(Count("pk")))
    found["stepper_offers_made_total"] = sum(made.values())
    for status, number in made.items():
        if status != OfferStatus.PENDING:
            found[f"stepper_offers_total {status}"] = number
    found["stepper_accepts_total accepted"] = made.get(OfferStatus.ACCEPTED, 0)
    steps = TripTransition.objects.using(using).order_by().values_list("to_status").annotate(Count("pk"))
    found.update({f"stepper_trips_total {status}": number for status, number in steps})
    rounds = DispatchRound.objects.using(using).order_by()
    found["stepper_searches_total offered"] = rounds.filter(offered__gt=0).count()
    found["stepper_searches_total nobody"] = rounds.filter(offered=0).count()
    return +found


def compare(read_texts: Callable[[], list[str]], using: str, refused: Mapping[str, int]) -> tuple[Figures, Differences]:
    """Return the figures, and those that differ; `refused`: how often the clients were refused with a code."""
    until = monotonic() + QUIET_WITHIN_S
    while True:
        counted, expected = read_figures(read_texts()), dict(read_database(using))
        if counted == read_figures(read_texts()) or monotonic() > until:
            break
        sleep(0.2)
    # Conflicts are in no table: the clients know them.
    for code, number in refused.items():
        if code.startswith(_COMPARED_LABELS["stepper_refusals"]):
            expected[f"stepper_refusals_total {code}"] = number
    names = sorted({*counted, *expected})
    return counted, {
        name: (counted.get(name, 0), expected.get(name, 0))
        for name in names
        if counted.get(name, 0) != expected.get(name, 0)
    }
