"""Two-step sign-in of staff: demanded by a setting, whoever lacks it is led to set it up and gets to nothing else."""

from typing import cast

import allauth.mfa.admin  # noqa: F401 (registers what is unregistered below)
from allauth.core import context
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from stepper.accounts import second_factor
from stepper.admin.confirmed import require_staff_confirmed
from stepper.errors import DomainError
from stepper.models import User


class ServiceSettingsForm(forms.ModelForm):
    def clean_staff_second_factor(self) -> bool:
        """Let the demand be changed after a recent confirmation only, and made by somebody who meets it themselves.

        Raises:
            ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        """
        demanded: bool = self.cleaned_data["staff_second_factor"]
        if "staff_second_factor" not in self.changed_data:
            return demanded
        require_staff_confirmed(context.request)
        if demanded:
            try:
                second_factor.require_own_to_demand(cast(User, context.request.user))
            except DomainError as error:
                raise forms.ValidationError(error.reasons, code=error.code) from error
        return demanded


def has_permission(request: HttpRequest) -> bool:
    """Say whether somebody may open the administration at all."""
    return bool(request.user.is_active and getattr(request.user, "may_act_as_staff", False))


def lead_to_set_up(request: HttpRequest) -> HttpResponse:
    """Redirect a member of staff who lacks the second factor that is demanded to the page that sets it up."""
    messages.warning(request, _("Staff need two-step sign-in here. Set it up, then the administration opens."))
    return HttpResponseRedirect(reverse("stepper:second-factor"))


admin.site.has_permission = has_permission  # type: ignore[method-assign]
# Secrets, and what only the verbs of `stepper.accounts.second_factor` change.
admin.site.unregister(Authenticator)
