"""People who sign in, and the settings that staff tune while the service runs."""

from .addresses import AddressChange, AddressCode
from .dispatch_settings import DispatchMode
from .settings import ServiceSettings
from .users import RIGHTS, User, UserManager, UserQuerySet, initials, rights_changed, short_name

__all__ = [
    "RIGHTS",
    "AddressChange",
    "AddressCode",
    "DispatchMode",
    "ServiceSettings",
    "User",
    "UserManager",
    "UserQuerySet",
    "initials",
    "rights_changed",
    "short_name",
]
