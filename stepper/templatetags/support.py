"""How the company's staff are reached, wherever a page sends people to them."""

from typing import Any

from django import template

from stepper.models import ServiceSettings
from stepper.models.company_settings import Support

register = template.Library()


@register.inclusion_tag("stepper/support.html")
def support_contact() -> dict[str, Any]:
    """Draw the contact of the settings, nothing where staff have entered none. One query."""
    return {"support": get_support()}


@register.simple_tag
def get_support() -> Support:
    """Return the contact, false where staff have entered none: nobody is sent to them then. One query."""
    return ServiceSettings.current().support
