"""People who sign in, and the settings that staff tune while the service runs."""

from .addresses import AddressChange, AddressCode
from .audit import AuditAction, AuditEntry, AuditRetention
from .dispatch_settings import DispatchMode
from .phones import DayCount, PhoneCode, PhonePurpose
from .restores import Restore
from .security_log import SecurityEvent, SecurityEventCode, SecurityTransport
from .sessions import AccountSession
from .settings import ServiceSettings
from .users import (
    RIGHTS,
    Theme,
    User,
    UserManager,
    UserQuerySet,
    account_changed,
    credentials_removed,
    initials,
    rights_changed,
    short_name,
)

__all__ = [
    "RIGHTS",
    "AccountSession",
    "AddressChange",
    "AddressCode",
    "AuditAction",
    "AuditEntry",
    "AuditRetention",
    "DayCount",
    "DispatchMode",
    "PhoneCode",
    "PhonePurpose",
    "Restore",
    "SecurityEvent",
    "SecurityEventCode",
    "SecurityTransport",
    "ServiceSettings",
    "Theme",
    "User",
    "UserManager",
    "UserQuerySet",
    "account_changed",
    "credentials_removed",
    "initials",
    "rights_changed",
    "short_name",
]
