"""Who may open the pages of the operations room."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache

from stepper.admin.confirmed import require_staff_confirmed
from stepper.admin.second_factor import lead_to_set_up
from stepper.ops.sections import Section

View = Callable[..., HttpResponseBase]


def ops_page(section: Section, *permissions: str, confirmed: bool = False) -> Callable[[View], View]:
    """Open a view to staff with the permissions of its section and `permissions`; others get a 403, which the
    middleware of the security log counts.

    Staff without the second factor that is demanded of them are led to the page that sets it up. `confirmed`: what it
    does, or gives away of many people, needs a recent sign-in, or the password once more.
    """

    def decorate(view: View) -> View:
        @never_cache
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
            user: Any = request.user
            if user.is_staff and user.lacks_second_factor:
                return lead_to_set_up(request)
            if not (user.is_staff and user.has_perms((*section.permissions, *permissions))):
                raise PermissionDenied
            if confirmed:
                require_staff_confirmed(request)
            request.section = section  # type: ignore[attr-defined]
            return view(request, *args, **options)

        guarded.permissions = (*section.permissions, *permissions)  # type: ignore[attr-defined]
        return guarded

    return decorate
