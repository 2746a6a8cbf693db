"""How the company's staff are reached, wherever a page sends people to them."""

from typing import Any

from django import template
from django.forms import BaseForm

from stepper.models import ServiceSettings
from stepper.models.company_settings import Support
from stepper.staff_words import ASKS_STAFF

register = template.Library()


@register.inclusion_tag("stepper/support.html")
def support_contact() -> dict[str, Any]:
    """Draw the contact of the settings, nothing where staff have entered none. One query."""
    return {"support": get_support()}


@register.inclusion_tag("stepper/support.html")
def support_contact_of(form: BaseForm | str) -> dict[str, Any]:
    """Draw the contact where what is wrong with a form sends people to staff, one query then. "": there is no form."""
    return {"support": get_support()} if not isinstance(form, str) and asks_staff(form) else {}


@register.filter
def asks_staff(form: BaseForm) -> bool:
    """Say whether what is wrong with a form sends people to staff: then their contact is drawn with it."""
    return any(error.code == ASKS_STAFF for reasons in form.errors.as_data().values() for error in reasons)


@register.simple_tag
def get_support() -> Support:
    """Return the contact, false where staff have entered none: nobody is sent to them then. One query."""
    return ServiceSettings.current().support
