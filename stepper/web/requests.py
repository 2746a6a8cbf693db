"""The request that views behind `login_required` get, for the type checker."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from stepper.models import User


class SignedInRequest(HttpRequest):
    user: User
    htmx: HtmxDetails
