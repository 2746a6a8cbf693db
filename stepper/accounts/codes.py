"""Codes of a second factor: those of an authenticator app (TOTP, RFC 6238) and recovery codes, in allauth's tables.

What is here checks a code and uses it up; how often somebody may try is limited by `stepper.accounts.sign_in`.
"""

import logging

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from django.db.models import QuerySet

from stepper import security_log
from stepper.accounts.factor_adapter import SecretUnreadable
from stepper.db.transactions import in_transaction
from stepper.models import SecurityEventCode, User
from stepper.models.users import SECOND_FACTORS

logger = logging.getLogger("stepper.accounts.codes")

# In the data of an authenticator: the time step of the last code that was accepted.
LAST_STEP = "last_step"


def authenticators_of(user_id: int) -> QuerySet[Authenticator]:
    found: QuerySet[Authenticator] = Authenticator.objects.filter(user_id=user_id)
    return found


def factors_of(user: User) -> list[str]:
    """Return the type of each second factor, one for each passkey; recovery codes are none."""
    return list(authenticators_of(user.pk).filter(type__in=SECOND_FACTORS).values_list("type", flat=True))


def has_second_factor(user: User) -> bool:
    """Return whether an authenticator app or a passkey is set up; recovery codes alone are none."""
    return authenticators_of(user.pk).filter(type__in=SECOND_FACTORS).exists()


def has_app(user: User) -> bool:
    return authenticators_of(user.pk).filter(type=Authenticator.Type.TOTP).exists()


def find_step(secret: str, code: str, *, after: int = 0) -> int | None:
    """Return the time step whose code this is, None: it is wrong, or not of a step later than `after`.

    Those of the present 30 s and of the step before and after it count, as phones' clocks differ and typing takes time.
    """
    for step in yield_hotp_counters_from_time():
        if step > after and compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step))):
            return int(step)
    return None


@in_transaction
def use_code(user: User, code: str) -> bool:
    """Use up a code of the app, or a recovery code; False: it is wrong, was used before, or nothing is set up.

    The rows are locked, so that a code that is sent twice at once is accepted once. allauth remembers codes of the app
    in the cache, for one step only, and so would accept one again within the next step.
    """
    rows = {row.type: row for row in authenticators_of(user.pk).select_for_update()}
    app, recovery = rows.get(Authenticator.Type.TOTP), rows.get(Authenticator.Type.RECOVERY_CODES)
    if rows.keys().isdisjoint(SECOND_FACTORS):
        return False
    try:
        if app is not None and _use_app_code(app, code):
            return True
        if recovery is None or not RecoveryCodes(recovery).validate_code(code):
            return False
    except SecretUnreadable:
        logger.error("the second factor of account %d cannot be read: it was set up with another SECRET_KEY", user.pk)
        return False
    recovery.record_usage()
    security_log.count(SecurityEventCode.RECOVERY_CODE_USED, subject_id=user.pk)
    return True


def _use_app_code(row: Authenticator, code: str) -> bool:
    step = find_step(decrypt(row.data["secret"]), code, after=row.data.get(LAST_STEP, 0))
    if step is None:
        return False
    row.data[LAST_STEP] = step
    row.save(update_fields=["data"])
    row.record_usage()
    return True
