"""The sign-in page, where it differs from allauth's: a refusal by a limit is a 429."""

from allauth.account.views import LoginView as BaseLoginView
from django.http import HttpResponse

from stepper.accounts.forms import LoginForm


class LoginView(BaseLoginView):
    def form_invalid(self, form: LoginForm) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)
        if form.refusal is not None:
            response.status_code = form.refusal.status
            response["Retry-After"] = str(form.refusal.retry_after_s)
        return response
