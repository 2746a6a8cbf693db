"""Applying as a driver: the steps, sending, what staff decide, and the page that shows it."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from drivers import application_fragments, approvals, document_review, documents, joining
from drivers.models import Approval, DocumentStatus, Driver, DriverApplication, DriverDocument, Vehicle
from drivers.papers import Papers
from realtime import groups, page_updates
from realtime.models import Notification
from stepper.accounts.confirmation import CONFIRMED_AT
from stepper.errors import Conflict, TooManyRequests
from stepper.models import SecurityEvent, ServiceSettings, User
from tests.backoffice import page_url, run_on_list, said, signed_in
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, VehicleFactory
from tests.outbox import frames, rechecked, types
from tests.papers import VEHICLE, accept_all, applicant, document, draft, in_days

pytestmark = pytest.mark.django_db

APPLY = "/drivers/apply/"


def save(client: Client, step: str, **data: Any) -> Any:
    return client.post(reverse("joining:step-save", args=[step]), data)


def shown_step(client: Client) -> str:
    return str(client.get(APPLY).context["step"])


def code(verb: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(Conflict) as raised:
        verb(*args, **kwargs)
    return raised.value.code


# The steps


def test_name_becomes_the_accounts_when_staff_approve() -> None:
    user = PassengerFactory.create(name="Old Name")
    save(signed_in(user), "person", name="Daniyar Seitkali", licence_number="AB 123456")
    user.refresh_from_db()
    assert user.name == "Old Name"
    assert signed_in(user).get(f"{APPLY}?step=person").context["form"].initial["name"] == "Daniyar Seitkali"

    driver = applicant()
    DriverApplication.objects.filter(pk=driver.user_id).update(name="Aigul Serik")
    accept_all(driver.user)
    before = driver.user.name
    approvals.reject(driver.pk, StaffFactory.create(), "Wrong vehicle")
    assert User.objects.get(pk=driver.user_id).name == before
    approvals.approve(driver.pk, StaffFactory.create())
    assert User.objects.get(pk=driver.user_id).name == "Aigul Serik"
    logged = SecurityEvent.objects.filter(event="driver.decided", subject=driver.user_id)
    assert logged.filter(details="name: as in the application").count() == 1


def test_staff_see_the_name_beside_the_document() -> None:
    user = draft(name="Aigul Serik")
    page = signed_in(StaffFactory.create()).get(page_url(user.driver_documents.all()[0])).content.decode()
    assert "Aigul Serik" in page


def test_application_that_is_sent_twice_at_once_is_sent_once() -> None:
    """The second found no driver, waited for the lock of the account, and then finds the first's."""
    user = draft()
    lock = User.objects.lock_active
    sent: list[Driver | None] = []

    def send_first(user_id: int) -> User:
        if not sent:
            sent.append(None)
            sent[0] = joining.submit(user)
        return lock(user_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(User.objects), "lock_active", lambda _self, user_id: send_first(user_id))
        assert joining.submit(user) == sent[0]
    assert Driver.objects.count() == 1


def test_steps_are_kept_and_the_page_opens_at_the_first_that_is_open() -> None:
    user = PassengerFactory.create()
    client = signed_in(user)
    assert shown_step(client) == "person"
    assert save(client, "person", name="Daniyar Seitkali", licence_number="AB 123456").status_code == 302
    assert shown_step(client) == "vehicle"
    assert save(client, "vehicle", **VEHICLE).status_code == 302
    assert shown_step(client) == "documents"
    for kind in ("licence", "insurance", "inspection"):
        document(user, kind)
    assert shown_step(client) == "documents"
    document(user, "taxi_licence")
    assert shown_step(signed_in(user)) == "consent"
    row = DriverApplication.objects.get()
    assert (row.name, row.licence_number, row.plate, row.seats) == ("Daniyar Seitkali", "AB 123456", "777ABK02", 4)
    assert not Driver.objects.exists()


def test_step_can_be_opened_again() -> None:
    client = signed_in(draft())
    response = client.get(f"{APPLY}?step=vehicle")
    assert response.context["step"] == "vehicle"
    assert "777 ABK 02" in response.content.decode()
    assert client.get(f"{APPLY}?step=nothing").context["step"] == "consent"


@pytest.mark.parametrize(
    ("step", "wrong", "field"),
    [
        ("person", {"name": "\u200b", "licence_number": "A1"}, "name"),
        ("person", {"name": "Daniyar", "licence_number": ""}, "licence_number"),
        ("vehicle", {**VEHICLE, "plate": "??"}, "plate"),
        ("vehicle", {**VEHICLE, "seats": 61}, "seats"),
        ("vehicle", {**VEHICLE, "year": 2099}, "year"),
        ("vehicle", {**VEHICLE, "vehicle_class": "tank"}, "vehicle_class"),
        ("consent", {}, "agreed"),
    ],
)
def test_wrong_input_stands_at_its_field_and_keeps_nothing(step: str, wrong: dict[str, Any], field: str) -> None:
    user = PassengerFactory.create()
    response = save(signed_in(user), step, **wrong)
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert not DriverApplication.objects.exists()


def test_unknown_step_is_not_found() -> None:
    client = signed_in(PassengerFactory.create())
    assert {save(client, step).status_code for step in ("documents", "money")} == {404}


def test_first_phone_is_asked_for_and_needs_a_recent_sign_in() -> None:
    user = PassengerFactory.create(phone=None)
    client = signed_in(user)
    entered = {"name": "Daniyar", "phone": "8 701 234 56 78", "licence_number": "A1"}
    session = client.session
    session[CONFIRMED_AT] = 1
    session.save()
    response = save(client, "person", **entered)
    assert response["Location"].startswith("/accounts/confirm/")
    user.refresh_from_db()
    assert user.phone is None
    client.force_login(user)
    assert save(client, "person", **entered)["Location"] == APPLY
    user.refresh_from_db()
    assert user.phone == "+77012345678"


def test_phone_of_another_account_is_refused() -> None:
    PassengerFactory.create(phone="+77012345678")
    user = PassengerFactory.create(phone=None)
    response = save(signed_in(user), "person", name="Daniyar", phone="+77012345678", licence_number="A1")
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["phone"]
    user.refresh_from_db()
    assert (user.phone, user.name.startswith("Aliya")) == (None, True)


def test_phone_that_an_account_has_cannot_be_changed_here() -> None:
    user = PassengerFactory.create(phone="+77012345678")
    save(signed_in(user), "person", name="Daniyar", phone="+77770000000", licence_number="A1")
    user.refresh_from_db()
    assert user.phone == "+77012345678"


# Sending


def test_application_becomes_a_driver_who_waits_for_staff() -> None:
    staff = StaffFactory.create()
    user = draft()
    response = save(signed_in(user), "consent", agreed="on")
    assert (response.status_code, response["Location"]) == (302, APPLY)
    driver = Driver.objects.get(user=user)
    assert (driver.approval, driver.licence_number, driver.licence_expires_on) == ("pending", "AB123456", in_days(200))
    assert driver.vehicle.label == "White Toyota Camry"
    row = DriverApplication.objects.get()
    assert row.consent_at is not None
    assert row.submitted_at is not None
    assert [(one.user, one.message) for one in Notification.objects.all()] == [(staff, user.name)]
    assert rechecked(groups.user(user.pk))
    assert frames(groups.user(user.pk))[-1].state == "checking"


def test_application_sent_twice_is_one() -> None:
    user = draft()
    first = joining.submit(user)
    assert joining.submit(user) == first
    assert (Driver.objects.count(), Vehicle.objects.count()) == (1, 1)


def test_application_with_something_missing_is_refused() -> None:
    user = draft()
    DriverDocument.objects.filter(kind="insurance").update(expires_on=in_days(-1))
    assert code(joining.submit, user) == "application.incomplete"
    response = save(signed_in(user), "consent", agreed="on")
    assert response.status_code == 422
    assert "These are missing: Insurance." in response.content.decode()
    assert code(joining.submit, PassengerFactory.create()) == "application.incomplete"
    assert not Driver.objects.exists()


def test_vehicle_that_somebody_drives_is_left_to_staff() -> None:
    other = DriverFactory.create(vehicle=VehicleFactory(plate="777ABK02"))
    driver = applicant()
    assert driver.vehicle is None
    other.refresh_from_db()
    assert other.vehicle.plate == "777ABK02"


def test_application_is_closed_while_staff_check_it_and_afterwards() -> None:
    driver = applicant()
    assert code(joining.save_vehicle, driver.user, VEHICLE) == "application.closed"
    for approval in (Approval.APPROVED, Approval.SUSPENDED):
        Driver.objects.update(approval=approval)
        assert code(joining.save_vehicle, driver.user, VEHICLE) == "application.closed"
        assert code(joining.submit, driver.user) == "application.closed"
    assert save(signed_in(driver.user), "vehicle", **VEHICLE).status_code == 422


def test_changes_are_limited() -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"changes_per_min": 1})
    user = draft()
    joining.save_vehicle(user, VEHICLE)
    with pytest.raises(TooManyRequests):
        joining.save_vehicle(user, VEHICLE)


# What staff decide


def test_approval_waits_for_the_documents() -> None:
    driver, staff = applicant(), StaffFactory.create()
    assert code(approvals.approve, driver.pk, staff) == "driver.documents_unchecked"
    [refused] = said(run_on_list(signed_in(staff), "approve", [driver]))
    assert "Accept the documents first: Driving licence, Insurance" in refused
    accept_all(driver.user)
    assert approvals.approve(driver.pk, staff).approval == Approval.APPROVED


def test_driver_whom_staff_entered_needs_no_documents() -> None:
    driver = DriverFactory.create(approval=Approval.PENDING)
    assert approvals.approve(driver.pk, StaffFactory.create()).approval == Approval.APPROVED


@pytest.mark.parametrize("address", [APPLY, "/driver/settings/"])
def test_approved_driver_reads_what_keeps_them_from_driving(address: str) -> None:
    driver, staff = applicant(), StaffFactory.create()
    accept_all(driver.user)
    approvals.approve(driver.pk, staff)
    client = signed_in(driver.user)
    assert "You can go online and drive." in client.get(address).content.decode()
    document_review.reject_document(DriverDocument.objects.get(kind="insurance").pk, staff, "Of another vehicle")
    html = client.get(address).content.decode()
    assert "You can go online and drive." not in html
    assert "A document of yours is not valid any more." in html
    assert "accepted a new one: Insurance." in html
    assert "You can go online and drive." not in application_fragments.snapshot(driver.user_id)


@pytest.mark.parametrize("approval", [Approval.APPROVED, Approval.SUSPENDED, Approval.PENDING])
def test_nothing_is_missing_of_a_driver_whom_staff_entered(approval: Approval) -> None:
    html = signed_in(DriverFactory.create(approval=approval).user).get("/driver/settings/").content.decode()
    assert "None yet" in html
    assert "Missing" not in html


@pytest.mark.parametrize("with_mail", [True, False])
def test_answer_by_mail_is_promised_where_there_is_mail(settings: Any, with_mail: bool) -> None:
    settings.MAIL_OFFERED = with_mail
    html = signed_in(applicant().user).get(APPLY).content.decode()
    assert ("and get it by e-mail." in html) is with_mail


@pytest.mark.parametrize("plate", ["!!", "---", "#2"])
def test_plate_without_letters_and_digits_is_no_plate(plate: str) -> None:
    page = save(signed_in(draft()), "vehicle", **{**VEHICLE, "plate": plate})
    assert page.context["form"].errors["plate"] == ["A plate has letters and digits, at most 16."]
    assert f'value="{plate}"' in page.content.decode()


def test_suspended_driver_is_reinstated_whatever_their_documents() -> None:
    driver, staff = applicant(), StaffFactory.create()
    Driver.objects.update(approval=Approval.SUSPENDED)
    assert approvals.reinstate(driver.pk, staff).approval == Approval.APPROVED


def test_rejected_document_can_be_sent_again_while_staff_check() -> None:
    driver, staff = applicant(), StaffFactory.create()
    row = DriverDocument.objects.get(kind="inspection")
    document_review.reject_document(row.pk, staff, "Too dark")
    assert Papers(driver.user_id).state == "changes"
    content = signed_in(driver.user).get(APPLY).content.decode()
    assert "Our staff: Too dark" in content
    document_id = documents.send_document(driver.user, "inspection", bytes(_content()), in_days(9)).pk
    assert Papers(driver.user_id).state == "checking"
    assert not DriverDocument.objects.filter(pk=row.pk).exists()
    assert DriverDocument.objects.get(kind="inspection").pk == document_id


def _content() -> bytes:
    return bytes(DriverDocument.objects.defer(None).first().content)


def test_rejected_application_is_corrected_and_sent_again() -> None:
    driver, staff = applicant(), StaffFactory.create()
    approvals.reject(driver.pk, staff, "Another vehicle is on the insurance")
    client = signed_in(driver.user)
    assert client.get(APPLY).context["is_open"]
    assert save(client, "vehicle", **{**VEHICLE, "model": "Corolla"}).status_code == 302
    assert save(client, "consent", agreed="on").status_code == 302
    driver.refresh_from_db()
    assert (driver.approval, driver.vehicle.model) == ("pending", "Corolla")
    assert (Driver.objects.count(), Vehicle.objects.count()) == (1, 1)
    assert types(groups.driver(driver.pk))[-1] == "driver.updated"


def test_new_plate_after_a_rejection_does_not_rename_a_shared_vehicle() -> None:
    driver = applicant()
    DriverFactory.create(vehicle=driver.vehicle)
    approvals.reject(driver.pk, StaffFactory.create(), "No")
    joining.save_vehicle(driver.user, {**VEHICLE, "seats": 8})
    joining.submit(driver.user)
    driver.vehicle.refresh_from_db()
    assert driver.vehicle.seats == 4


@pytest.mark.parametrize(
    ("verb", "before", "state", "subject"),
    [
        ("approve", "pending", "approved", "You are approved: you can go online now"),
        ("reject", "pending", "rejected", "Your application was rejected"),
        ("suspend", "approved", "suspended", "Your account is suspended"),
        ("reinstate", "suspended", "approved", "You are approved: you can go online now"),
    ],
)
def test_decision_is_on_the_applicants_page_and_in_a_mail(
    verb: str, before: str, state: str, subject: str, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.MAIL_OFFERED = True
    driver = applicant()
    accept_all(driver.user)
    Driver.objects.update(approval=before)
    mail.outbox.clear()
    reasons = ["Because"] if verb in {"reject", "suspend"} else []
    with django_capture_on_commit_callbacks(execute=True):
        getattr(approvals, verb)(driver.pk, StaffFactory.create(), *reasons)
    assert frames(groups.user(driver.user_id))[-1].state == state
    [message] = [one for one in mail.outbox if one.subject == f"StepperGO: {subject}"]
    assert message.to == [driver.user.email]
    assert ("Our staff wrote: Because" in str(message.body)) is bool(reasons)


@pytest.mark.parametrize("state", ["draft", "checking", "changes", "approved", "rejected", "suspended"])
def test_page_and_its_fragments_say_how_it_stands(state: str) -> None:
    if state == "draft":
        user: User = draft()
    else:
        user = applicant().user
        approval = {"checking": "pending", "changes": "pending"}.get(state, state)
        Driver.objects.update(approval=approval)
        if state == "changes":
            DriverDocument.objects.filter(kind="licence").update(status=DocumentStatus.REJECTED, reason="x")
    content = signed_in(user).get(f"{APPLY}?step=documents").content.decode()
    fragment = page_updates.SNAPSHOTS["apply"](user.pk)
    for html in (content, fragment):
        assert f'data-state="{state}"' in html
        assert html.count('id="document-licence-status"') == 1
    assert ('hx-swap-oob="true"' in content, fragment.count('hx-swap-oob="true"')) == (False, 7)


def test_applicant_whose_plate_is_known_is_approved_once_staff_have_chosen_the_vehicle() -> None:
    known = VehicleFactory.create(plate="777ABK02")
    driver, staff = applicant(), StaffFactory.create()
    accept_all(driver.user)
    assert driver.vehicle is None
    assert code(approvals.approve, driver.pk, staff) == "driver.no_vehicle"
    Driver.objects.filter(pk=driver.pk).update(vehicle=known)
    assert approvals.approve(driver.pk, staff).approval == Approval.APPROVED


def test_plate_that_is_taken_at_this_moment_is_left_to_staff(monkeypatch: pytest.MonkeyPatch) -> None:
    VehicleFactory.create(plate="777ABK02")
    unknown = Vehicle.objects.none()
    monkeypatch.setattr(Vehicle.objects, "filter", lambda **_: unknown)
    assert applicant().vehicle is None


def test_staff_read_applications_and_do_not_write_them() -> None:
    driver = applicant()
    client = signed_in(StaffFactory.create())
    row = DriverApplication.objects.get(user=driver.user)
    content = client.get(page_url(row)).content.decode()
    assert "777 ABK 02" in content
    assert client.post(page_url(row), {"plate": "1"}).status_code == 403
    assert f"owner__id__exact={driver.user_id}" in client.get(page_url(driver)).content.decode()
    assert client.get(f"/admin/drivers/driverapplication/?user__id__exact={driver.user_id}").status_code == 200
    assert client.get(f"/admin/drivers/driverdocument/?owner__id__exact={driver.user_id}").status_code == 200


def test_whoever_is_no_driver_is_led_to_the_application(client: Client) -> None:
    assert client.get(APPLY)["Location"].startswith("/accounts/login/")
    page = signed_in(PassengerFactory.create()).get("/driver/")
    assert page.status_code == 403
    assert APPLY in page.content.decode()
