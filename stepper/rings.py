"""Distances as staff write them in the settings: "5, 15, 30, 50"."""

from itertools import pairwise

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


def parse_rings(text: str) -> tuple[float, ...]:
    """Parse the radii in km, ascending.

    Raises:
        ValueError: not numbers, not ascending, or not between 0 and 1000
    """
    radii = tuple(float(part) for part in text.split(",") if part.strip())
    if any(not 0 < radius <= 1000 for radius in radii) or any(near >= far for near, far in pairwise(radii)):
        raise ValueError(text)
    return radii


def validate_rings(text: str) -> None:
    try:
        parse_rings(text)
    except ValueError:
        raise ValidationError(_("Write distances in km, the nearest first, like “5, 15, 30, 50”.")) from None
