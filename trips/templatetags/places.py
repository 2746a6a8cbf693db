"""Names of places as the reader knows them."""

from django import template

from trips.places.curated import in_readers_language

register = template.Library()


@register.filter
def place_words(text: str) -> str:
    """Write a place's name or address in the active language where it comes with the project, else as it is."""
    return in_readers_language(text)
