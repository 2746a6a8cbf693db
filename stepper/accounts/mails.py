"""What allauth sends goes the way of all our mails, and names the configured public address only."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as allauth_context

from stepper.mail import sending


class PublicMail(DefaultAccountAdapter):
    """allauth's adapter as far as mails are concerned.

    allauth makes links and the name of the site from the request's Host header, which is the client's to choose.
    """

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Write a mail now and send it once this commits; a failure is only logged."""
        request = allauth_context.request
        base = sending.base_url(request)
        own = f"{request.scheme}://{request.get_host()}"
        links = {
            name: base + value.removeprefix(own)
            for name, value in context.items()
            if isinstance(value, str) and (value == own or value.startswith(f"{own}/"))
        }
        site = SimpleNamespace(name="StepperGO", domain=urlsplit(base).netloc)
        message = self.render_mail(template_prefix, email, {**context, **links, "email": email, "current_site": site})
        sending.send_written(message)
