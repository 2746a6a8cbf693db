"""allauth's pages around passwords, where ours differ: no mail server, no password."""

import functools
from collections.abc import Callable
from typing import Any

from allauth.account import views
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from stepper.accounts import passwords, sign_in
from stepper.accounts.confirmation import confirms_by_code, require_confirmed
from stepper.accounts.forms import FirstPasswordForm
from stepper.errors import Conflict, TooManyRequests
from stepper.mail import sending
from stepper.web.refusals import add_refusal, with_retry_after

View = Callable[..., HttpResponseBase]


def needs_mail(view: View) -> View:
    """Answer 404 with a page that says whom to ask, where no mail can be sent."""

    @functools.wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not sending.is_offered():
            return render(request, "account/password_ask_staff.html", status=404)
        return view(request, *args, **kwargs)

    return run


@never_cache
@sensitive_post_parameters("password1", "password2")
def set_first(request: Any) -> HttpResponse:
    """Take the first password of an account that is confirmed by SMS; the session stays."""
    require_confirmed(request.session, request.user, opens_form=request.method != "POST")
    form = FirstPasswordForm(request.user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            passwords.set_first(request.user, request.session, form.cleaned_data["password1"])
        except (Conflict, TooManyRequests) as error:
            add_refusal(form, error)
            page = render(request, "account/password_set.html", {"form": form}, status=error.status)
            return with_retry_after(page, error)
        update_session_auth_hash(request, request.user)
        messages.success(request, _("Your account has a password now."))
        response = redirect("stepper:account")
        sign_in.remember_device(request, response, request.user)
        return response
    return render(request, "account/password_set.html", {"form": form}, status=422 if form.errors else 200)


class PasswordChangeView(views.PasswordChangeView):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Lead an account without a password to its first one: after a code by SMS; else 409, by mail or from staff."""
        if request.user.is_authenticated and not request.user.has_usable_password():
            if confirms_by_code(request.user):
                return set_first(request)
            return render(request, "account/password_none.html", status=409)
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def form_valid(self, form: Any) -> HttpResponse:
        """Keep the browser known that sets the new password: what it was known by ends with the old one."""
        response: HttpResponse = super().form_valid(form)
        sign_in.remember_device(self.request, response, form.user)
        return response
