"""How the company's staff are reached, wherever a page sends people to them."""

from typing import Any

from django import template

from stepper.models import ServiceSettings

register = template.Library()


@register.inclusion_tag("stepper/support.html")
def support_contact() -> dict[str, Any]:
    """Draw the contact of the settings, nothing where staff have entered none. One query."""
    return {"support": ServiceSettings.current().support}
