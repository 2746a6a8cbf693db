"""Pages of one's own data: taking it along as a file, and erasing the account."""

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from stepper.accounts.confirmation import ConfirmationRequired, NothingToConfirmWith, require_confirmed
from stepper.accounts.views import clear_site_data
from stepper.errors import DomainError, TooManyRequests
from stepper.personal import erasure
from stepper.personal.export import export_account
from stepper.web.downloads import File, file_response
from stepper.web.refusals import over_limit
from stepper.web.requests import SignedInRequest


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def export(request: SignedInRequest) -> HttpResponse:
    """Say what the file has in it, after the password; then hand it out."""
    if request.method != "POST":
        require_confirmed(request.session, request.user, opens_form=True)
        return render(request, "account/export.html")
    try:
        content = export_account(request.user, request.session)
    except TooManyRequests as error:
        return over_limit(request, error)
    return file_response(File("steppergo-my-data.json", "application/json", content))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def erase(request: SignedInRequest) -> HttpResponse:
    """Say what erasing the account means, after the password; then erase it and sign out."""
    refusal = None
    if request.method == "POST":
        try:
            erasure.erase_account(request.user, request.session)
        except (ConfirmationRequired, NothingToConfirmWith):
            # The middleware leads to the page that asks for the password, and back.
            raise
        except TooManyRequests as error:
            return over_limit(request, error)
        except DomainError as error:
            refusal = error
        else:
            logout(request)
            messages.success(request, _("Your account is deleted."))
            return clear_site_data(redirect("stepper:home"))
    else:
        require_confirmed(request.session, request.user, opens_form=True)
        # Said before, so that nobody finds out by pressing the button.
        refusal = erasure.refusal(request.user)
    status = 409 if request.method == "POST" else 200
    return render(request, "account/erase.html", {"refusal": refusal}, status=status)
