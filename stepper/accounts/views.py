"""Signing in and out, where it differs from allauth's: a refusal by a limit is a 429, and browsers forget our pages."""

from typing import Any, TypeVar

from allauth.account.views import LoginView as BaseLoginView
from allauth.account.views import LogoutView as BaseLogoutView
from django.http import HttpRequest, HttpResponse

from stepper.accounts.forms import LoginForm
from stepper.accounts.language import activate_guests

R = TypeVar("R", bound=HttpResponse)


def clear_site_data(response: R) -> R:
    """Have the browser forget what our pages left there; call it for the answer to signing out.

    Without "cookies": that would take those of all hosts of the domain, and the mark of a known device; the session's
    cookie is deleted by itself. Browsers heed the header over HTTPS and on localhost only.
    """
    response["Clear-Site-Data"] = '"cache", "storage"'
    return response


class LoginView(BaseLoginView):
    def form_invalid(self, form: LoginForm) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)
        if form.refusal is not None:
            response.status_code = form.refusal.status
            response["Retry-After"] = str(form.refusal.retry_after_s)
        return response


class LogoutView(BaseLogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # allauth writes its message before it signs out.
        activate_guests(request)
        response: HttpResponse = super().post(request, *args, **kwargs)
        return clear_site_data(response)


logout = LogoutView.as_view()
