"""What a driver chooses for themselves and dispatch does not read: theme, the app that navigates.

The language is stepper.accounts.language's.
"""

from django.utils.translation import gettext as _

from drivers.models import Driver
from drivers.navigation import NavigationApp
from drivers.updates import publish_update
from stepper import limits
from stepper.db.transactions import in_transaction
from stepper.errors import InvalidFields, NotFound, Text
from stepper.models import Theme, User


@limits.counted("preferences", "changes_per_min")
@in_transaction
def set_preferences(driver_id: int, *, theme: str, navigation_app: str) -> Driver:
    """Store a driver's choices.

    Raises:
        NotFound: driver.not_found
        NotPermitted: account.inactive
        InvalidInput: one of them is not offered
        TooManyRequests: more than `changes_per_min`
    """
    driver = Driver.objects.select_related("user").filter(pk=driver_id).locked().first()
    if driver is None:
        raise NotFound("driver.not_found", _("There is no such driver."))
    choices = {
        "theme": (theme, set(Theme.values)),
        "navigation_app": (navigation_app, set(NavigationApp.values)),
    }
    wrong: dict[str, list[Text]] = {
        name: [_("Choose from the list.")] for name, (value, offered) in choices.items() if value not in offered
    }
    if wrong:
        raise InvalidFields(wrong)
    User.objects.lock_active(driver.user_id)
    User.objects.filter(pk=driver.user_id).update(theme=theme)
    if navigation_app != driver.navigation_app:
        driver.navigation_app = navigation_app
        driver.save(update_fields=["navigation_app"])
        publish_update(driver, "navigation")
    return driver
