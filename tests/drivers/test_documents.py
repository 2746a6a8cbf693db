"""A driver's documents: sending one, accepting and rejecting it, who may see it."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from drivers import document_review, documents, pictures
from drivers.models import DocumentStatus, DriverDocument
from drivers.papers import Papers
from realtime import groups
from realtime.models import Notification
from stepper.errors import Conflict, DomainError, InvalidInput, NotFound, NotPermitted, TooManyRequests
from stepper.models import SecurityEvent, ServiceSettings, User
from tests.backoffice import action_url, list_url, member_of_staff, page_url, queries_of, run_on_list, said, signed_in
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, UserFactory
from tests.outbox import frames, types
from tests.papers import document, in_days, picture, upload

pytestmark = pytest.mark.django_db


def send(client: Client, kind: str = "licence", **fields: Any) -> Any:
    data = {"file": upload(), "expires_on": in_days(90).isoformat(), **fields}
    return client.post(reverse("joining:document-send", args=[kind]), data)


def code(verb: Any, *args: Any) -> str:
    with pytest.raises(DomainError) as raised:
        verb(*args)
    return raised.value.code


def reject(document_id: int, staff: User) -> DriverDocument:
    return document_review.reject_document(document_id, staff, "Blurred")


def permitted_staff(permission: str) -> User:
    app, codename = permission.split(".")
    user: User = StaffFactory.create(is_superuser=False)
    user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return User.objects.get(pk=user.pk)


# Sending


def test_document_is_kept_encoded_anew_and_its_owners_pages_hear_of_it() -> None:
    user = PassengerFactory.create()
    response = send(signed_in(user))
    assert (response.status_code, response["Location"]) == (302, "/drivers/apply/")
    row = DriverDocument.objects.defer(None).get()
    assert (row.owner, row.kind, row.status, row.expires_on) == (user, "licence", "pending", in_days(90))
    assert bytes(row.content).startswith(b"\xff\xd8\xff")
    [frame] = frames(groups.user(user.pk))
    assert (frame.state, [(one.kind, one.status) for one in frame.documents]) == ("draft", [("licence", "pending")])


def test_list_of_documents_does_not_read_the_pictures() -> None:
    document(PassengerFactory.create())
    assert "content" in DriverDocument.objects.get().get_deferred_fields()


def test_newer_document_replaces_one_that_is_not_accepted() -> None:
    user = PassengerFactory.create()
    document(user, status=DocumentStatus.REJECTED, reason="blurred")
    document(user)
    newer = documents.send_document(user, "licence", picture(), in_days(30))
    assert list(DriverDocument.objects.filter(owner=user)) == [newer]


def test_document_that_was_accepted_once_stays_for_disputes_when_a_newer_one_is_sent() -> None:
    user, staff = PassengerFactory.create(), StaffFactory.create()
    driven = document(user, "insurance")
    document_review.accept_document(driven.pk, staff)
    document_review.reject_document(driven.pk, staff, "Forged")
    newer = documents.send_document(user, "insurance", picture(), in_days(30))
    driven.refresh_from_db()
    assert driven.accepted_at is not None
    assert set(DriverDocument.objects.filter(owner=user)) == {driven, newer}
    paper = Papers(user.pk).papers[1]
    assert (paper.newest, paper.accepted) == (newer, None)


def test_document_that_an_earlier_release_accepted_is_known_as_such() -> None:
    user = PassengerFactory.create()
    row = document(user, "insurance", status=DocumentStatus.ACCEPTED, reviewed_at=timezone.now())
    document_review.reject_document(row.pk, StaffFactory.create(), "Forged")
    row.refresh_from_db()
    assert row.accepted_at is not None


def test_accepted_document_counts_until_the_newer_one_is_accepted() -> None:
    user = PassengerFactory.create()
    older = document(user, "insurance", status=DocumentStatus.ACCEPTED)
    newer = documents.send_document(user, "insurance", picture(), in_days(300))
    paper = Papers(user.pk).papers[1]
    assert (paper.newest, paper.accepted) == (newer, older)
    document_review.accept_document(newer.pk, StaffFactory.create())
    older.refresh_from_db()
    assert older.status == DocumentStatus.REPLACED
    assert older.ended_at is not None
    assert Papers(user.pk).papers[1].accepted == newer


@pytest.mark.parametrize("days", [-1, 20 * 366 + 1, None])
def test_date_has_to_be_one_on_which_it_is_still_valid(days: int | None) -> None:
    user = PassengerFactory.create()
    date = None if days is None else in_days(days)
    assert code(documents.send_document, user, "licence", picture(), date) == "document.expiry"
    assert not DriverDocument.objects.exists()


def test_photo_has_no_date_and_is_checked_as_passengers_see_it() -> None:
    user = PassengerFactory.create()
    # One that was sent before passengers saw photos is replaced at once.
    document(user, "photo", status=DocumentStatus.ACCEPTED, expires_on=None)
    documents.send_document(user, "photo", picture(), None)
    second = documents.send_document(user, "photo", picture(), in_days(3))
    row = DriverDocument.objects.get(owner=user)
    assert (row.pk, row.status, row.expires_on) == (second.pk, "pending", None)
    document_review.accept_document(row.pk, StaffFactory.create())
    assert documents.photo_id_of(user.pk) == row.pk
    documents.send_document(user, "photo", picture(), None)
    assert documents.photo_id_of(user.pk) == row.pk


def test_document_of_a_driver_is_told_to_staff_who_may_check_it() -> None:
    checker, other = StaffFactory.create(), UserFactory.create(is_staff=True)
    documents.send_document(PassengerFactory.create(), "licence", picture(), in_days(9))
    assert not Notification.objects.exists()
    documents.send_document(DriverFactory.create().user, "licence", picture(), in_days(9))
    assert [row.user for row in Notification.objects.all()] == [checker]
    assert other not in [row.user for row in Notification.objects.all()]


def test_unknown_kind_is_refused() -> None:
    user = PassengerFactory.create()
    assert code(documents.send_document, user, "passport", picture(), in_days(9)) == "document.unknown_kind"
    assert send(signed_in(user), "passport").status_code == 404


def test_more_than_so_many_an_hour_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "UPLOADS_PER_HOUR", 1)
    user = PassengerFactory.create()
    documents.send_document(user, "licence", picture(), in_days(9))
    with pytest.raises(TooManyRequests):
        documents.send_document(user, "licence", picture(), in_days(9))
    assert send(signed_in(user)).status_code == 429


# What is refused, over HTTP, and leaves nothing


def test_picture_that_waits_too_long_for_others_says_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WAIT_S", 0.01)
    with pictures._decoding:
        response = send(signed_in(PassengerFactory.create()))
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "Many pictures are being sent" in response.content.decode()
    assert not DriverDocument.objects.exists()


@pytest.mark.parametrize(
    "file",
    [
        upload(b"%PDF-1.7", "licence.pdf", "application/pdf"),
        upload(b"<svg/>", "licence.svg", "image/svg+xml"),
        upload(b"MZ\x90\x00", "licence.jpg"),
        upload(b"", "licence.jpg"),
        upload(picture("GIF"), "licence.jpg"),
    ],
    ids=["pdf", "svg", "program", "empty", "gif"],
)
def test_wrong_type_is_refused_by_content_and_nothing_is_left(
    file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    response = send(signed_in(PassengerFactory.create()), file=file)
    assert response.status_code == 422
    assert b"This is no picture that we can read." in response.content
    assert not DriverDocument.objects.exists()
    assert list(tmp_path.iterdir()) == []


def test_type_and_name_that_the_browser_says_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in the name leads nowhere: nothing is written, and the answer names the kind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = signed_in(PassengerFactory.create())
    file = upload(picture("PNG"), "licence.jpg", "text/html")
    file._name = "../../../etc/passwd\x00.html"  # past the check of Django's test client
    assert send(client, file=file).status_code == 302
    assert list(tmp_path.iterdir()) == []
    answer = client.get(reverse("joining:document-picture", args=[DriverDocument.objects.get().pk]))
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["Content-Disposition"] == 'inline; filename="licence.jpg"'


def test_large_file_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own handlers write what is larger than 2.5 MB to a file."""
    monkeypatch.setattr("django.core.files.uploadhandler.TemporaryFileUploadHandler.new_file", pytest.fail)
    response = send(signed_in(PassengerFactory.create()), file=upload(picture() + bytes(3 << 20)))
    assert response.status_code == 302


def test_form_of_another_page_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(PassengerFactory.create())
    assert send(client).status_code == 403
    assert not DriverDocument.objects.exists()


def test_stranger_is_sent_to_sign_in(client: Client) -> None:
    assert send(client).status_code == 302
    assert not DriverDocument.objects.exists()


def test_errors_stand_at_the_form_of_the_document() -> None:
    content = send(signed_in(PassengerFactory.create()), "insurance", expires_on="").content.decode()
    assert 'id="insurance-expires_on_error"' in content
    assert 'id="licence-expires_on_error"' not in content


# Who sees it


def test_owner_and_permitted_staff_see_the_picture_and_nobody_else() -> None:
    owner = DriverFactory.create().user
    row = document(owner)
    address = reverse("joining:document-picture", args=[row.pk])
    for client in (signed_in(owner), member_of_staff("drivers.view_driverdocument"), signed_in(StaffFactory.create())):
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.content == bytes(DriverDocument.objects.defer(None).get().content)
        assert "no-store" in answer["Cache-Control"]
        assert answer["X-Content-Type-Options"] == "nosniff"
    former = UserFactory.create(is_staff=False, is_superuser=True)
    for client in (
        signed_in(DriverFactory.create().user),
        member_of_staff("drivers.view_driver"),
        signed_in(former),
    ):
        assert client.get(address).status_code == 404
    assert Client().get(address).status_code == 302


def test_staff_who_lack_the_second_factor_do_not_see_it() -> None:
    row = document(PassengerFactory.create())
    client = member_of_staff("drivers.view_driverdocument")
    ServiceSettings.objects.update_or_create(pk=1, defaults={"staff_second_factor": True})
    assert client.get(reverse("joining:document-picture", args=[row.pk])).status_code == 404


def test_picture_that_does_not_exist_is_not_found() -> None:
    assert code(documents.find_document, PassengerFactory.create(), 4711) == "document.not_found"


# Deciding


def test_accepted_licence_sets_the_drivers_date() -> None:
    driver = DriverFactory.create()
    row = document(driver.user, expires_on=in_days(44))
    document_review.accept_document(row.pk, StaffFactory.create())
    driver.refresh_from_db()
    assert driver.licence_expires_on == in_days(44)


def test_other_documents_leave_the_drivers_date() -> None:
    driver = DriverFactory.create()
    before = driver.licence_expires_on
    document_review.accept_document(
        document(driver.user, "insurance", expires_on=in_days(44)).pk, StaffFactory.create()
    )
    driver.refresh_from_db()
    assert driver.licence_expires_on == before


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_decision_is_on_the_owners_pages_in_a_mail_and_in_the_security_log(
    verdict: str, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.MAIL_OFFERED = True
    owner, staff = DriverFactory.create().user, StaffFactory.create()
    row = document(owner, "insurance")
    with django_capture_on_commit_callbacks(execute=True):
        if verdict == "accepted":
            document_review.accept_document(row.pk, staff)
        else:
            document_review.reject_document(row.pk, staff, "The plate is cut off")
    assert types(groups.user(owner.pk)) == ["notification.driver", "driver.application.updated"]
    update = frames(groups.user(owner.pk))[-1]
    assert [(one.status, one.reason) for one in update.documents] == [
        (verdict, "The plate is cut off" if verdict == "rejected" else "")
    ]
    [message] = mail.outbox
    words = {"accepted": "Insurance: accepted", "rejected": "Insurance: not accepted"}[verdict]
    assert (message.to, message.subject) == ([owner.email], f"StepperGO: {words}")
    assert ("The plate is cut off" in str(message.body)) is (verdict == "rejected")
    [event] = SecurityEvent.objects.filter(event="driver.decided")
    assert (event.actor, event.subject) == (staff, owner)
    assert event.details.startswith(f"insurance: pending → {verdict}")


def test_decision_about_somebody_without_address_sends_no_mail(
    settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.MAIL_OFFERED = True
    owner = PassengerFactory.create(email=None)
    with django_capture_on_commit_callbacks(execute=True):
        document_review.accept_document(document(owner).pk, StaffFactory.create())
    assert mail.outbox == []


def test_decision_is_made_once() -> None:
    staff = StaffFactory.create()
    row = document(PassengerFactory.create())
    document_review.accept_document(row.pk, staff)
    assert code(document_review.accept_document, row.pk, staff) == "document.decided"
    document_review.reject_document(row.pk, staff, "Forged")
    assert code(document_review.reject_document, row.pk, staff, "Forged") == "document.decided"
    assert code(document_review.accept_document, row.pk, staff) == "document.decided"


def test_document_that_was_sent_anew_meanwhile_cannot_be_decided() -> None:
    owner = PassengerFactory.create()
    row = document(owner)
    documents.send_document(owner, "licence", picture(), in_days(9))
    with pytest.raises(NotFound):
        document_review.accept_document(row.pk, StaffFactory.create())


def test_expired_document_is_not_accepted() -> None:
    row = document(PassengerFactory.create(), expires_on=in_days(-1))
    with pytest.raises(Conflict):
        document_review.accept_document(row.pk, StaffFactory.create())


def test_rejection_says_why() -> None:
    row = document(PassengerFactory.create())
    with pytest.raises(InvalidInput):
        document_review.reject_document(row.pk, StaffFactory.create(), "  ")


@pytest.mark.parametrize("who", [PassengerFactory, lambda: UserFactory(is_staff=True)])
def test_only_permitted_staff_decide(who: Any) -> None:
    row = document(PassengerFactory.create())
    user = who()
    for verb in (document_review.accept_document, lambda pk, staff: document_review.reject_document(pk, staff, "x")):
        with pytest.raises(NotPermitted):
            verb(row.pk, user)
    row.refresh_from_db()
    assert row.status == DocumentStatus.PENDING


@pytest.mark.parametrize("decide", [document_review.accept_document, reject])
def test_staff_do_not_decide_about_their_own_documents(decide: Any) -> None:
    colleague = permitted_staff("drivers.change_driverdocument")
    row = document(colleague)
    assert code(decide, row.pk, colleague) == "auth.own_decision"
    row.refresh_from_db()
    assert row.status == DocumentStatus.PENDING
    superuser = StaffFactory.create()
    decide(document(superuser).pk, superuser)


def test_owner_who_is_staff_cannot_decide_without_the_right() -> None:
    owner = UserFactory.create(is_staff=True)
    with pytest.raises(NotPermitted):
        document_review.accept_document(document(owner).pk, owner)


# The administration


def test_staff_accept_and_reject_in_the_administration() -> None:
    client = signed_in(StaffFactory.create())
    first, second = document(DriverFactory.create().user), document(DriverFactory.create().user)
    page = client.get(page_url(first)).content.decode()
    assert f"/drivers/documents/{first.pk}/picture/" in page
    assert said(run_on_list(client, "accept", [first])) == ["success: 1 accepted"]
    assert client.post(action_url(second, "reject"), {"reason": ""}).status_code == 200
    client.post(action_url(second, "reject"), {"reason": "Blurred"})
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status, second.reason) == ("accepted", "rejected", "Blurred")


def test_staff_with_the_right_to_view_only_have_no_actions() -> None:
    row = document(PassengerFactory.create())
    client = member_of_staff("drivers.view_driverdocument")
    assert client.get(page_url(row)).status_code == 200
    client.post(action_url(row, "reject"), {"reason": "x"})
    run_on_list(client, "accept", [row])
    row.refresh_from_db()
    assert row.status == DocumentStatus.PENDING


@pytest.mark.parametrize("rows", [1, 3])
def test_list_costs_the_same_for_one_document_and_three(rows: int, query_count: Any) -> None:
    client = signed_in(StaffFactory.create())
    for _ in range(rows):
        document(PassengerFactory.create())
    queries_of(client, list_url(DriverDocument), query_count(6, 6))
