"""The table of pages: name, address, who opens it, what must be there, what is done first.

A new page is a new row. `tests/stepper/test_page_table.py` finds an address of the address map that no row opens.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import RequestFactory
from django.utils.translation import gettext as _
from django.views import defaults
from django_htmx.middleware import HtmxDetails
from playwright.sync_api import Page

from drivers.earnings.periods import Kind
from drivers.models import Approval
from drivers.papers import STEPS
from drivers.views import TABS
from stepper.accounts.code_stage import CodeForm
from stepper.accounts.passkey_pages import AddForm
from stepper.api.errors import refusal_response
from stepper.errors import InvalidInput, Unavailable
from stepper.limits import too_many
from stepper.models import User
from stepper.ops.reports.figures import REPORTS
from stepper.web.refusals import over_limit
from tests.pages import acts, drivers, operators, people, staff
from tests.pages.cast import Person
from trips.states import ASSIGNED, TripStatus

# Somebody who is not signed in.
STRANGER = ""
LANDING = "/"
# The form of a trip with as many stops as it can have, one of them where the one before is.
BY_WAY = "/book/?from=Almaty&to=Almaty%20airport&via=Medeu&via=Medeu&via=Shymbulak"


@dataclass(frozen=True)
class Row:
    """A page in one state. `path` may name the rows of `Person.ids` in braces."""

    name: str
    path: str
    who: str = STRANGER
    # What is seen only where the page is the one that is meant.
    shows: str = "h1"
    # Puts back what an earlier visit changed.
    before: Callable[[Person], None] | None = None
    # Whose rows the address names, or who must be there, where it is not `who`.
    needs: str = ""
    # What the person does on the page to bring it to this state.
    act: Callable[[Page], None] | None = None
    # Answers in place of the server, what it answers in a state that no test brings it to.
    answer: Callable[[HttpRequest], HttpResponse] | None = None

    def request(self, user: User | None) -> HttpRequest:
        """Return the request that `answer` is for."""
        request = RequestFactory().get(self.path)
        request.user = user or AnonymousUser()
        request.htmx = HtmxDetails(request)  # type: ignore[attr-defined]
        return request


# What the server answers in states that no test brings it to


def _forbidden(request: HttpRequest) -> HttpResponse:
    return defaults.permission_denied(request, Exception())


def _broken(request: HttpRequest) -> HttpResponse:
    return defaults.server_error(request)


def _not_accepted(request: HttpRequest) -> HttpResponse:
    return refusal_response(request, InvalidInput("language.not_offered", _("This language is not offered.")))


def _form_too_old(request: HttpRequest) -> HttpResponse:
    return render(request, "403_csrf.html", status=403)


def _away(request: HttpRequest) -> HttpResponse:
    return refusal_response(request, Unavailable("server.unavailable", _("Please try again in a moment.")))


def _too_many(request: HttpRequest) -> HttpResponse:
    return over_limit(request, too_many(60))


def _lists_no_passkey(request: HttpRequest) -> HttpResponse:
    return render(request, "account/passkeys.html", {"is_offered": True, "has_room": True})


def _offers_a_passkey(request: HttpRequest) -> HttpResponse:
    return render(request, "account/passkey_add.html", {"form": AddForm(), "offered": "{}"})


def _asks_for_a_passkey(request: HttpRequest) -> HttpResponse:
    return render(request, "account/code.html", {"form": CodeForm(User()), "passkey_request": "{}"})


def _sends_no_sms(request: HttpRequest) -> HttpResponse:
    return render(request, "account/phone_not_offered.html", status=404)


def _sends_no_mail(request: HttpRequest) -> HttpResponse:
    return render(request, "account/password_ask_staff.html", status=404)


def _lost_pages(who: str) -> list[Row]:
    signed_in = "-signed-in" if who else ""
    return [
        Row(f"404{signed_in}", "/nowhere/", who),
        Row(f"403{signed_in}", "/nowhere/", who, answer=_forbidden),
        Row(f"429{signed_in}", "/nowhere/", who, answer=_too_many),
    ]


STRANGERS = [
    Row("landing", LANDING, shows=".landing__title"),
    Row("help", "/help/"),
    Row("privacy", "/privacy/", shows="#privacy-yours"),
    Row("landing-language-menu", LANDING, shows=".languages", act=acts.open_menu(".bar .menu")),
    Row("offline", "/offline/"),
    Row("sign-in", "/accounts/login/", shows="[name=login]"),
    Row("sign-in-errors", "/accounts/login/", shows=".field__error", act=acts.send_empty("main form")),
    Row(
        "sign-in-second-step",
        "/accounts/login/",
        shows="[name=cancel]",
        needs="two-step",
        act=acts.sign_in_with_password,
    ),
    Row(
        "sign-in-second-step-passkey",
        "/accounts/login/second-step/",
        shows="[data-passkey-start]",
        answer=_asks_for_a_passkey,
    ),
    Row("sign-in-second-step-left", "/accounts/login/second-step/", shows="[name=login]"),
    Row("phone-sign-in", "/accounts/sign-in/phone/", shows="[data-testid=phone-input]"),
    Row("phone-sign-in-errors", "/accounts/sign-in/phone/", shows=".field__error", act=acts.send_empty("main form")),
    Row(
        "phone-sign-in-code",
        "/accounts/sign-in/phone/",
        shows="[data-testid=code-input]",
        act=acts.ask_for_code,
    ),
    Row("phone-not-offered", "/accounts/sign-in/phone/", answer=_sends_no_sms),
    Row("sign-up", "/accounts/signup/", shows="[name=email]"),
    Row("sign-up-errors", "/accounts/signup/", shows=".field__error", act=acts.send_empty("main form")),
    Row("inactive", "/accounts/inactive/"),
    Row("password-reset", "/accounts/password/reset/", shows="[name=email]"),
    Row("password-reset-no-mail", "/accounts/password/reset/", answer=_sends_no_mail),
    Row("password-reset-done", "/accounts/password/reset/done/"),
    Row("password-reset-key", "/accounts/password/reset/key/{uid}-{key}/", needs="forgetful", shows="[type=password]"),
    Row("password-reset-link-over", "/accounts/password/reset/key/1-over/"),
    Row("password-reset-key-done", "/accounts/password/reset/key/done/"),
    *_lost_pages(STRANGER),
    Row("500", "/nowhere/", answer=_broken),
    Row("503", "/nowhere/", answer=_away),
    Row("403-csrf", "/nowhere/", answer=_form_too_old),
    Row("refused", "/nowhere/", answer=_not_accepted),
]

PASSENGERS = [
    Row("trips-empty", "/trips/", "newcomer", shows=".empty"),
    Row("notifications-empty", "/notifications/", "newcomer", shows="#notifications-page"),
    Row("not-a-driver", "/driver/", "newcomer"),
    *_lost_pages("newcomer"),
    Row("account", "/account/", "newcomer", shows="#change-email"),
    Row(
        "account-errors", "/account/", "newcomer", shows=".field__error", act=acts.send_empty("form:has([name=email])")
    ),
    Row("account-menu", "/trips/", "newcomer", shows=".menu[open] .menu__item", act=acts.open_menu(".menu:not(.bell)")),
    Row("account-no-password", "/account/", "no-password", shows="[name=proof]"),
    Row("password-set", "/accounts/password/change/", "no-proof", shows="[name=password1]"),
    Row("account-no-proof", "/account/", "no-proof", shows="#change-email"),
    Row("account-changing", "/account/", "mover", shows="main .alert"),
    Row("address-confirm", "/accounts/e-mail/{token}/", "mover", shows="main form"),
    Row("address-refused", "/accounts/e-mail/an-old-link/", "mover"),
    Row("sessions", "/accounts/sessions/", "mover", shows=".sessions"),
    Row("sessions-unconfirmed", "/accounts/sessions/", "unconfirmed", shows=".sessions"),
    Row("confirm", "/accounts/confirm/", "unconfirmed", shows="[name=code]"),
    Row("confirm-errors", "/accounts/confirm/", "unconfirmed", shows=".field__error", act=acts.send_empty("main form")),
    Row("phone-change", "/accounts/phone/", "newcomer", shows="[data-testid=phone-input]"),
    Row("phone-confirm", "/accounts/phone/code/", "unverified", shows="main form"),
    Row(
        "phone-confirm-code",
        "/accounts/phone/code/",
        "unverified",
        shows="[name=code]",
        act=acts.send_own_code,
        before=people.forget_sms,
    ),
    Row("account-unverified", "/account/", "unverified", shows="a[href='/accounts/phone/code/']"),
    Row("second-factor-unconfirmed", "/accounts/two-step/", "unconfirmed"),
    Row("confirm-no-password", "/accounts/confirm/", "no-password"),
    Row("second-factor-off", "/accounts/two-step/", "newcomer"),
    Row("second-factor-set-up", "/accounts/two-step/set-up/", "newcomer", shows="[data-testid=secret]"),
    Row(
        "second-factor-set-up-wrong",
        "/accounts/two-step/set-up/",
        "newcomer",
        shows=".field__error",
        act=acts.enter_wrong_code,
    ),
    Row("second-factor-on", "/accounts/two-step/", "two-step", shows="#recovery-codes"),
    Row("second-factor-passkeys", "/accounts/two-step/", "passkeys", shows="#remove-app"),
    Row("passkeys-without-https", "/accounts/two-step/passkeys/", "passkeys", shows="[data-testid=passkey-list]"),
    Row("passkeys-empty", "/accounts/two-step/passkeys/", "newcomer", answer=_lists_no_passkey),
    Row("passkey", "/accounts/two-step/passkeys/{passkey}/", "passkeys", shows="#remove"),
    Row(
        "passkey-add", "/accounts/two-step/passkeys/add/", "newcomer", shows="[data-passkey]", answer=_offers_a_passkey
    ),
    Row("recovery-codes", "/accounts/two-step/", "two-step", shows=".recovery-codes", act=acts.renew_codes),
    Row("password-change", "/accounts/password/change/", "newcomer", shows="[type=password]"),
    Row(
        "password-change-errors",
        "/accounts/password/change/",
        "newcomer",
        shows=".field__error",
        act=acts.send_empty("main form"),
    ),
    Row("sign-out", "/accounts/logout/", "newcomer", shows="main form"),
    Row("account-delete", "/account/erase/", "newcomer", shows=".btn--danger"),
    Row("account-delete-refused", "/account/erase/", "rider", shows=".alert--error"),
    Row("account-delete-old-address", "/driver/settings/delete/", "newcomer", shows=".btn--danger"),
    Row("account-old-address", "/accounts/", "newcomer", shows="#change-email"),
    Row("account-export", "/account/export/", "newcomer", shows="[data-testid=account-export]"),
    Row("places-empty", "/account/places/", "newcomer", shows=".empty"),
    Row("places", "/account/places/", "rider", shows="[data-testid=saved-place]", before=people.save_places),
    Row("places-errors", "/account/places/", "newcomer", shows=".field__error", act=acts.send_empty("#place-form")),
    Row("pushes", "/notifications/push/", "newcomer", shows="[data-push], main .alert"),
    Row("notifications", "/notifications/", "reader", shows=".notice", before=people.write_notifications),
    Row(
        "bell",
        "/trips/",
        "reader",
        shows="#notifications .notice",
        before=people.write_notifications,
        act=acts.open_menu(".bell"),
    ),
    Row("trips", "/trips/", "rider", shows=".trip-row"),
    # A cursor before the first: a page between two others.
    Row("trips-ahead", "/trips/?after=0-0", "hotel", shows="[data-testid=trips-soonest]"),
    Row("trips-filtered-empty", "/trips/?show=cancelled", "newcomer", shows=".filters__one"),
    Row("book", "/book/", "rider", shows="[data-testid=book-submit]"),
    Row("book-as-stranger", "/book/", shows="[data-testid=book-submit]"),
    Row("book-later", "/book/?from=Almaty&to=Medeu&at=2099-01-01T10:00", "rider", shows="#later .field__error"),
    Row("book-old-address", "/trips/new/", "rider", shows="[data-testid=book-submit]"),
    Row("book-place", "/book/", "rider", shows=".combobox__option", act=acts.look_for_a_place),
    Row("book-nowhere", "/book/", "rider", shows="[data-testid=place-none]", act=acts.look_for_no_place),
    Row("book-priced", "/book/", "rider", shows="[data-testid=quote-total]", act=acts.price_a_trip),
    Row("book-stops", BY_WAY, "rider", shows="[data-stop=stop3]:not([hidden])", act=acts.open_wishes),
    Row("book-errors", "/book/", "rider", shows="#pickup-error", act=acts.book_nothing),
    *(Row(f"trip-{status}", f"/trips/{{{status}}}/", "rider", shows="#trip-panel") for status in TripStatus),
    Row("trip-usual", "/trips/{trip}/", "guest", shows=".vehicle"),
    Row("trip-messages", "/trips/{trip}/messages/", "guest", shows=".message--mine"),
    Row("trip-messages-dialog", "/trips/{trip}/", "guest", shows=".dialog .message", act=acts.open_messages),
    Row(
        "trip-messages-offline",
        "/trips/{trip}/",
        "guest",
        shows="#message-error [data-unsent]",
        act=acts.write_without_network,
    ),
    Row("trip-messages-none", "/trips/{accepted}/messages/", "rider", shows="[data-testid=message-input]"),
    Row("trip-messages-closed", "/trips/{rated}/messages/", "rider", shows="[data-testid=message-closed]"),
    Row("trip-lost", "/trips/{lost}/", "guest", shows="[data-testid=message-open]"),
    Row("trip-safety", "/trips/{trip}/safety/", "guest", shows="[data-testid=safety-alert]"),
    Row("trip-safety-dialog", "/trips/{trip}/", "guest", shows="#safety-dialog[open]", act=acts.open_safety),
    Row("trip-safety-called", "/trips/{called}/safety/", "guest", shows="[data-testid=safety-state]"),
    Row("trip-shared", "/t/{share}/", needs="guest", shows=".vehicle"),
    Row("trip-shared-sent", "/t/{sent}/", needs="guest", shows="[data-testid=safety-call]"),
    Row("trip-share-ended", "/t/no-such-link/", shows="[data-testid=share-ended]"),
    Row("trip-receipt", "/trips/{completed}/receipt/", "rider", shows="[data-testid=receipt-total]"),
    Row("trip-receipt-none", "/trips/{accepted}/receipt/", "rider"),
    Row("trip-later", "/trips/{later}/", "rider", shows="#trip-panel"),
    Row("trip-stops", "/trips/{stops}/", "rider", shows="[data-testid=trip-wishes]"),
    Row("trip-late", "/trips/{late}/", "rider", shows="[data-testid=trip-stall]"),
    Row("trip-boarding-code", "/trips/{coded}/", "rider", shows="[data-testid=boarding-code]"),
    Row("trip-peek", "/trips/{coded}/", "rider", shows="#trip-eta", act=acts.set_sheet("peek")),
    Row("trip-full", "/trips/{late}/", "rider", shows="#trip-eta", act=acts.set_sheet("full")),
    Row(
        "trip-offline",
        "/trips/{in_transit}/",
        "rider",
        shows="[data-testid=trip-offline]",
        act=acts.lose_the_connection,
    ),
    Row("trip-taken-over", "/trips/{taken_over}/", "rider", shows="#trip-panel"),
    Row(
        "trip-rate-both",
        "/trips/{ridden}/",
        "rider",
        shows="[data-testid=former-driver]",
        act=acts.scroll_to("[data-testid=former-driver]"),
    ),
    Row("trip-rated", "/trips/{rated}/", "rider", shows="#rating-given"),
    Row("trip-cancel-dialog", "/trips/{accepted}/", "rider", shows="#cancel-dialog", act=acts.ask_to_cancel),
    Row("trip-changed", "/trips/{changed}/", "rider", shows=".timeline [data-state=changed]"),
    Row("trip-change", "/trips/{changed}/change/", "rider", shows="[data-testid=change-submit]"),
    Row("trip-change-errors", "/trips/{changed}/change/", "rider", shows=".field__error", act=acts.change_to_nobody),
    Row("trip-change-accepted", "/trips/{accepted}/change/", "rider", shows="[data-testid=change-submit]"),
    Row("trip-change-over", "/trips/{completed}/change/", "rider"),
    Row("cancel", "/trips/{accepted}/cancel/", "rider", shows="main form"),
    Row("cancel-too-late", "/trips/{in_transit}/cancel/", "rider", shows="main"),
]

APPLICANTS = [
    Row("apply-begun", "/drivers/apply/", "applying:begun", shows="[name=licence_number]"),
    *(
        Row(f"apply-{step}", f"/drivers/apply/?step={step}", "applying:draft", shows=".apply__step[aria-current]")
        for step in STEPS
    ),
    *(
        Row(
            f"apply-{step}-errors",
            f"/drivers/apply/?step={step}",
            "applying:begun",
            shows=".field__error",
            act=acts.send_empty("main form >> nth=0"),
        )
        for step in STEPS
    ),
    *(
        Row(f"apply-{state}", "/drivers/apply/", f"applying:{state}", shows=f"[data-state={state}]")
        for state in ("checking", "changes", "rejected", "suspended", "approved")
    ),
]

ACTIVE, OFFERS = "/driver/tab/active/", "/driver/tab/offers/"
DRIVERS = [
    *(Row(f"driver-{tab}-empty", f"/driver/tab/{tab}/", "driver:new", shows="#driver") for tab in TABS),
    Row("driver-idle", OFFERS, "driver:idle", shows=".empty__case--found"),
    Row("driver-idle-filters", OFFERS, "driver:idle", shows="#min_earnings-error", act=acts.save_wrong_filters),
    Row("driver-keys", OFFERS, "driver:idle", shows="#keys-help[open]", act=acts.show_keys),
    Row("driver-menu", OFFERS, "driver:idle", shows=".menu[open] .menu__item", act=acts.open_menu(".menu:not(.bell)")),
    Row("driver-no-position", OFFERS, "driver:lost", shows=".empty__case--lost"),
    *(
        Row(f"driver-{approval}", OFFERS, f"driver:{approval}", shows="[data-testid=approval-notice]")
        for approval in Approval
        if approval != Approval.APPROVED
    ),
    Row("driver-no-vehicle", OFFERS, "driver:no-vehicle", shows="[data-testid=approval-notice]"),
    Row("driver-licence-expired", OFFERS, "driver:licence-expired", shows="[data-testid=approval-notice]"),
    Row("driver-on-break", OFFERS, "driver:on-break", shows="[data-testid=on-break]"),
    Row("driver-warned", OFFERS, "driver:warned", shows="[data-testid=idle-warning]"),
    Row("driver-offer", "/driver/", "driver:offer", shows="[data-testid=offer-card]", before=drivers.renew_offers),
    Row(
        "driver-accepting",
        OFFERS,
        "driver:offer",
        shows="[aria-busy=true]",
        before=drivers.renew_offers,
        act=acts.accept_slowly,
    ),
    Row(
        "driver-accept-failed",
        OFFERS,
        "driver:offer",
        shows=".offer__reason",
        before=drivers.renew_offers,
        act=acts.refuse_accept(acts.busy, 409),
    ),
    Row(
        "driver-accept-kept",
        OFFERS,
        "driver:offer",
        shows=".queued",
        before=drivers.renew_offers,
        act=acts.accept_without_network,
    ),
    Row("driver-declined", OFFERS, "driver:offer", shows="[data-undo]", before=drivers.renew_offers, act=acts.decline),
    Row("driver-offers", OFFERS, "driver:offers", shows="[data-testid=offer-card]", before=drivers.renew_offers),
    Row(
        "driver-lost",
        OFFERS,
        "driver:offers",
        shows="[data-testid=offer-gone]",
        before=drivers.renew_offers,
        act=acts.refuse_accept(acts.lost, 409),
    ),
    *(
        Row(f"driver-{status}", "/driver/", f"driver:{status}", shows=f"[data-status={status}]")
        for status in sorted(ASSIGNED)
    ),
    Row("driver-stops", ACTIVE, "driver:among-stops", shows="[data-testid=stop-reached]"),
    Row("driver-offer-stops", OFFERS, "driver:stops", shows="[data-testid=offer-stop]", before=drivers.renew_offers),
    Row("driver-usual", "/driver/", "driver:guided", shows="[data-status=en_route]"),
    Row(
        "driver-trip-menu", ACTIVE, f"driver:{TripStatus.ACCEPTED}", shows=".trip__menu-panel", act=acts.open_trip_menu
    ),
    Row("driver-messages", "/driver/", "driver:guided", shows=".dialog .message", act=acts.open_messages),
    Row("driver-boarding-code", ACTIVE, "driver:coded", shows="[data-testid=boarding-code-input]"),
    Row(
        "driver-boarding-code-wrong",
        ACTIVE,
        "driver:coded",
        shows=acts.REFUSED,
        act=acts.enter_no_boarding_code,
    ),
    Row("driver-no-show", ACTIVE, "driver:waiting", shows=".trip__menu-panel", act=acts.open_trip_menu),
    Row(
        "driver-queue",
        ACTIVE,
        f"driver:{TripStatus.IN_TRANSIT}",
        shows="[data-testid=queued-steps]",
        act=acts.keep_a_step_offline,
    ),
    Row("driver-trip-seen", "/trips/{trip}/", f"driver:{TripStatus.EN_ROUTE}", shows="#trip-panel"),
    Row("driver-taking-over", ACTIVE, "driver:taking-over", shows="[data-testid=trip-taken-over]"),
    Row("driver-history-leg", "/driver/tab/history/", "driver:former", shows="[data-testid=history-leg]"),
    Row("earnings-leg", "/driver/earnings/?day=", "driver:former", shows="#earnings-summary"),
    Row("driver-history", "/driver/tab/history/", "driver:earner", shows="[data-testid=history-item]"),
    *(
        Row(f"earnings-{kind}", f"/driver/earnings/?{kind}=", "driver:earner", shows="#earnings-summary")
        for kind in Kind
    ),
    Row("earnings-empty", "/driver/earnings/?week=", "driver:new", shows="#earnings-summary"),
    Row("earnings-refused", "/driver/earnings/?month=never", "driver:new"),
    Row("settings", "/driver/settings/", "applying:approved", shows="#settings-profile"),
    Row("settings-new", "/driver/settings/", "driver:no-vehicle", shows="#settings-profile"),
    Row("account-delete-driver", "/account/erase/", "driver:new", shows=".btn--danger"),
]

STAFF = [
    Row("ops-system", "/ops/system/", "overseer", shows="[data-testid=ops-system]"),
    Row("ops-room", "/ops/", "dispatcher", shows="#ops-map[data-ready]"),
    Row("ops-room-search", "/ops/", "dispatcher", shows="#ops-found:not([hidden])", act=staff.look_for_somebody),
    Row("ops-room-list", "/ops/", "dispatcher", shows="#ops-list .words", act=staff.list_what_is_in_view),
    Row("ops-room-take-over", "/ops/", "dispatcher", shows="#take-over[open]", act=staff.ask_to_take_over),
    Row("ops-audit", "/ops/audit/", "auditor", shows="[data-testid=audit-older]"),
    Row("ops-audit-none", "/ops/audit/?number=none&model=trips.trip", "auditor", shows=".empty"),
    Row("ops-audit-wrong", "/ops/audit/?since=32.13.2026", "auditor", shows="[role=alert]"),
]

OPERATORS = [
    Row("ops-call", "/ops/call/", "operator", shows="#call[data-ready]"),
    Row("ops-call-caller", f"/ops/call/?phone={operators.CALLER}", "operator", shows="[data-testid=call-open]"),
    Row("ops-call-closed", f"/ops/call/?phone={operators.CLOSED}", "operator", shows="[data-testid=call-blocked]"),
    Row("ops-call-unproven", f"/ops/call/?phone={operators.UNPROVEN}", "operator", shows="[data-is-new]"),
    Row(
        "ops-call-priced",
        f"/ops/call/?phone={operators.CALLER}",
        "operator",
        shows="[data-testid=call-say]",
        act=operators.repeat_a_trip,
    ),
    Row(
        "ops-call-refused",
        "/ops/call/?phone=+77471230009",
        "operator",
        shows="[data-testid=call-refused]",
        act=operators.book_nobody,
    ),
    Row(
        "ops-call-booked",
        f"/ops/call/?phone={operators.CALLER}",
        "operator",
        shows="[data-testid=call-booked]",
        act=operators.book,
    ),
]

OPS_PANELS = [
    Row("ops-trips", "/ops/trips/", "steerer", shows="[data-testid=ops-trip-row]"),
    Row("ops-trips-empty", "/ops/trips/?q=nobody", "steerer", shows=".empty"),
    Row("ops-trip", "/ops/trips/{unfilled}/", "steerer", shows="[data-testid=assign]"),
    Row("ops-trip-moved", "/ops/trips/{moved}/", "steerer", shows=".ops-entry--staff"),
    Row("ops-trip-under-way", "/ops/trips/{under_way}/", "steerer", shows="[data-testid=trail-slider]"),
    Row("ops-trip-history", "/ops/trips/{moved}/history/", "steerer", shows="[data-testid=ops-entry]"),
    Row("ops-trip-pick", "/ops/trips/{unfilled}/driver/", "steerer", shows="[data-testid=assign-warning]"),
    Row("ops-trip-hand-over", "/ops/trips/{under_way}/driver/", "steerer", shows="[name=part]"),
    Row("ops-trip-act", "/ops/trips/{unfilled}/do/cancel/", "steerer", shows="[data-testid=act-submit]"),
    Row("ops-trip-edit", "/ops/trips/{moved}/edit/", "steerer", shows="[name=fare]"),
    Row("ops-drivers", "/ops/drivers/", "steerer", shows="[data-testid=ops-driver-row]"),
    Row("ops-driver", "/ops/drivers/{driver}/", "steerer", shows="[data-testid=act-suspend]"),
    Row("ops-driver-history", "/ops/drivers/{driver}/history/", "steerer", shows="[data-testid=ops-entry]"),
    Row("ops-driver-act", "/ops/drivers/{driver}/do/suspend/", "steerer", shows="[data-testid=act-submit]"),
]

REPORTS_READERS = [
    *(
        Row(f"report-{name}", f"/ops/reports/{name}/", "finance", shows="[data-testid=report-table]")
        for name in REPORTS
    ),
    Row("reports", "/ops/reports/", "finance", shows=".chart__bars"),
    Row("reports-empty", "/ops/reports/?from=2020-01-01&to=2020-01-02", "finance", shows=".empty"),
    Row("reports-refused", "/ops/reports/?from=never", "finance", shows="[data-testid=report-refused]"),
    Row("statements", "/ops/reports/statements/", "finance", shows=".reports__drivers"),
    Row("statements-nobody", "/ops/reports/statements/?q=nobody", "finance", shows=".empty"),
    Row("statement", "/ops/reports/statements/?driver={paid}", "finance", shows="[data-testid=statement-total]"),
    Row("fares", "/ops/settings/", "finance", shows="[data-testid=settings-versions]"),
    Row("fares-tried", "/ops/settings/", "finance", shows="#trial", act=acts.try_fares),
]

# The persons one after the other: each has one context, which is closed after their last page.
PAGES = sorted(
    [*STRANGERS, *PASSENGERS, *APPLICANTS, *DRIVERS, *STAFF, *OPERATORS, *OPS_PANELS, *REPORTS_READERS],
    key=lambda row: row.who,
)
