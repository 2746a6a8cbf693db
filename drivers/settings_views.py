"""The driver's settings: what they choose, their photo and documents.

The e-mail, the password, two-step sign-in and sessions have pages of their own, which this one leads to.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from stepper.errors import DomainError, TooManyRequests
from stepper.models import Theme
from stepper.web.refusals import add_refusal, over_limit
from stepper.web.requests import SignedInRequest

from . import preferences
from .board import Board
from .forms import BreakForm, FiltersForm, HoursForm
from .joining_forms import DocumentForm, document_forms
from .models import Driver
from .navigation import NavigationApp
from .papers import Papers
from .views import driver_required


class PreferencesForm(forms.Form):
    navigation_app = forms.ChoiceField(label=gettext_lazy("Navigate with"), choices=NavigationApp.choices)
    theme = forms.ChoiceField(label=gettext_lazy("Colours"), choices=Theme.choices)

    def __init__(self, driver: Driver, data: Any = None) -> None:
        super().__init__(data, initial={"navigation_app": driver.navigation_app, "theme": driver.user.theme})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@driver_required
def settings(request: SignedInRequest, driver: Driver) -> HttpResponse:
    """Show the settings, and keep what the driver chose."""
    if request.method != "POST":
        return render_page(request, driver)
    form = PreferencesForm(driver, request.POST)
    if form.is_valid():
        try:
            preferences.set_preferences(driver.pk, **form.cleaned_data)
        except TooManyRequests as error:
            return over_limit(request, error)
        except DomainError as error:
            add_refusal(form, error)
        else:
            messages.success(request, _("Saved."))
            return redirect("drivers:settings")
    return render_page(request, driver, chosen=form, status=422)


def render_page(
    request: SignedInRequest,
    driver: Driver,
    *,
    chosen: PreferencesForm | None = None,
    sent: DocumentForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """Draw the page. `chosen`: what was refused, with its errors; `sent`: a document that was."""
    papers = Papers(request.user.pk)
    context = {
        "board": Board(driver),
        "driver": driver,
        "papers": papers,
        "document_forms": document_forms(papers, sent),
        "preferences": chosen or PreferencesForm(driver),
        "form": FiltersForm.of(driver),
        "hours_form": HoursForm(driver),
        "break_form": BreakForm(driver),
    }
    return render(request, "drivers/settings.html", context, status=status)


@login_required
def delete_account(request: SignedInRequest) -> HttpResponse:
    """Lead from the page's earlier address to the present one."""
    return redirect("stepper:account-erase", permanent=True)
