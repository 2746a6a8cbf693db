"""allauth's pages around passwords, where ours differ: no mail server, no password."""

import functools
from collections.abc import Callable
from typing import Any

from allauth.account import views
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from stepper.accounts import sign_in
from stepper.mail import sending

View = Callable[..., HttpResponseBase]


def needs_mail(view: View) -> View:
    """Answer 404 with a page that says whom to ask, where no mail can be sent."""

    @functools.wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not sending.is_offered():
            return render(request, "account/password_ask_staff.html", status=404)
        return view(request, *args, **kwargs)

    return run


class PasswordChangeView(views.PasswordChangeView):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer 409 to an account without a password: it gets its first one by mail, or from staff."""
        if request.user.is_authenticated and not request.user.has_usable_password():
            return render(request, "account/password_none.html", status=409)
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def form_valid(self, form: Any) -> HttpResponse:
        """Keep the browser known that sets the new password: what it was known by ends with the old one."""
        response: HttpResponse = super().form_valid(form)
        sign_in.remember_device(self.request, response, form.user)
        return response
