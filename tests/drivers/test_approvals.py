"""Who decides about a driver, and about whom nobody decides any more."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from drivers import approvals, availability
from drivers.models import Approval, Driver
from stepper.errors import Conflict, DomainError
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db

DECISIONS: list[tuple[Callable[..., Driver], Approval]] = [
    (approvals.approve, Approval.PENDING),
    (approvals.reject, Approval.PENDING),
    (approvals.suspend, Approval.APPROVED),
    (approvals.reinstate, Approval.SUSPENDED),
]
ADMISSIONS = [one for one in DECISIONS if one[0] in (approvals.approve, approvals.reinstate)]


def staff_with(*codenames: str) -> User:
    user: User = StaffFactory.create(is_superuser=False)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)


def code(verb: Any, *args: Any) -> str:
    with pytest.raises(DomainError) as raised:
        verb(*args)
    return raised.value.code


@pytest.mark.parametrize(("decide", "before"), DECISIONS)
def test_staff_with_the_permission_alone_decide(decide: Callable[..., Driver], before: Approval) -> None:
    driver = DriverFactory.create(approval=before)
    for who in (PassengerFactory.create(), driver.user, staff_with("view_driver")):
        assert code(decide, driver.pk, who) == "auth.forbidden"
    driver.refresh_from_db()
    assert driver.approval == before
    assert decide(driver.pk, staff_with("change_driver")).approval != before


@pytest.mark.parametrize(("decide", "before"), DECISIONS)
def test_staff_do_not_decide_about_themselves(decide: Callable[..., Driver], before: Approval) -> None:
    colleague = staff_with("change_driver")
    driver = DriverFactory.create(user=colleague, approval=before)
    assert code(decide, driver.pk, colleague) == "auth.own_decision"
    superuser = StaffFactory.create()
    decide(DriverFactory.create(user=superuser, approval=before).pk, superuser)


@pytest.mark.parametrize(("decide", "before"), ADMISSIONS)
def test_nobody_is_admitted_whose_account_is_closed(decide: Callable[..., Driver], before: Approval) -> None:
    driver = DriverFactory.create(approval=before, user__is_active=False)
    assert code(decide, driver.pk, StaffFactory.create()) == "driver.account_inactive"


def test_taking_a_driver_offline_needs_the_permission() -> None:
    driver = DriverFactory.create(at=ALMATY)
    assert code(availability.take_offline, driver.pk, staff_with("view_driver")) == "auth.forbidden"
    assert not availability.take_offline(driver.pk, staff_with("change_driver")).is_online


@pytest.mark.parametrize(("decide", "before"), ADMISSIONS)
def test_driver_whose_licence_has_expired_is_admitted_only_by_who_knows_it(
    decide: Callable[..., Driver], before: Approval
) -> None:
    driver = DriverFactory.create(approval=before, is_online=False, licence_expires_on=dt.date(2020, 12, 31))

    with pytest.raises(Conflict, match="31 Dec 2020") as refused:
        decide(driver.pk, StaffFactory.create())
    assert refused.value.code == "driver.licence_expired"

    assert decide(driver.pk, StaffFactory.create(), although_expired=True).approval == Approval.APPROVED
