"""Applications and documents in the admin: what was sent, and accepting or rejecting a document."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from stepper.admin import searching
from stepper.admin.base import COLOURS, HistoryAdmin, Label, StaffAdmin, format_instant, staff_action
from stepper.dates import short_date
from stepper.models import User
from stepper.texts import PlainTextInput

from .. import document_review
from ..models import DocumentKind, DocumentStatus, Driver, DriverApplication, DriverDocument
from .drivers import review_after_commit

STATUS_COLOURS = {"pending": "warning", "accepted": "success", "rejected": "danger", "replaced": "default"}
SOON = dt.timedelta(days=30)


class ReasonForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("Its owner reads it: say what to send instead."),
        widget=UnfoldAdminTextInputWidget,
    )


class ExpiryFilter(admin.SimpleListFilter):
    title = gettext_lazy("validity")
    parameter_name = "validity"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("expired", _("Expired")), ("soon", _("Expires within 30 days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DriverDocument]) -> QuerySet[DriverDocument]:
        today = timezone.localdate()
        if self.value() == "expired":
            return queryset.filter(expires_on__lt=today)
        if self.value() == "soon":
            return queryset.filter(expires_on__range=(today, today + SOON))
        return queryset


@admin.register(DriverDocument)
class DriverDocumentAdmin(StaffAdmin):
    """Pictures are shown by the page that shows them to their owner, which asks for the same permission."""

    list_display = ["owner", "kind", "status_shown", "expires_shown", "sent", "reviewed_by"]
    linked_by = ["owner__id__exact"]
    list_filter = ["status", "kind", ExpiryFilter]
    search_fields = ["=id", *searching.person("owner")]
    search_help_text = gettext_lazy("Name, phone, e-mail or id")
    list_select_related = ["owner", "reviewed_by"]
    ordering = ["-pk"]
    fields = [
        ("owner", "name_entered", "kind"),
        ("status_shown", "reason"),
        ("expires_shown", "sent"),
        ("reviewed_by", "checked"),
        "picture",
    ]
    readonly_fields = [
        "owner",
        "name_entered",
        "kind",
        "status_shown",
        "reason",
        "expires_shown",
        "sent",
        "reviewed_by",
        "checked",
        "picture",
    ]
    actions = ["accept", "reject"]
    actions_detail = ["accept", "reject"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def actions_for(self, obj: DriverDocument) -> set[str]:
        possible = {
            DocumentStatus.PENDING: {"accept", "reject"},
            DocumentStatus.ACCEPTED: {"reject"},
        }
        return possible.get(DocumentStatus(obj.status), set())

    @display(description=gettext_lazy("name in the application"))
    def name_entered(self, row: DriverDocument) -> str:
        return DriverApplication.of(row.owner_id).name or "–"

    @display(description=gettext_lazy("status"), ordering="status", label=COLOURS)
    def status_shown(self, row: DriverDocument) -> Label:
        return Label(STATUS_COLOURS[row.status], row.get_status_display())

    @display(description=gettext_lazy("valid until"), ordering="expires_on", label=COLOURS)
    def expires_shown(self, row: DriverDocument) -> Label:
        if row.expires_on is None:
            return Label("default", "–")
        date = short_date(row.expires_on, year=True)
        if row.is_expired:
            return Label("danger", _("Expired %(date)s") % {"date": date})
        return Label("warning" if row.expires_on <= timezone.localdate() + SOON else "default", date)

    @display(description=gettext_lazy("sent"), ordering="uploaded_at")
    def sent(self, row: DriverDocument) -> str:
        return format_instant(row.uploaded_at)

    @display(description=gettext_lazy("checked"))
    def checked(self, row: DriverDocument) -> str:
        return format_instant(row.reviewed_at) if row.reviewed_at else "–"

    @display(description=gettext_lazy("picture"))
    def picture(self, row: DriverDocument) -> SafeString:
        address = reverse("joining:document-picture", args=[row.pk])
        words = _("Open in its full size")
        image = '<a href="{}" target="_blank" rel="noopener"><img src="{}" alt="{}" class="max-w-full" width="640"></a>'
        return format_html(image, address, address, words)

    @staff_action(
        gettext_lazy("Accept"),
        done=gettext_lazy("accepted"),
        effect=gettext_lazy("They are told. It replaces an older one; a driving licence sets the driver's date."),
        icon="check_circle",
        variant=ActionVariant.SUCCESS,
    )
    def accept(self, document_id: int, user: User) -> None:
        row = document_review.accept_document(document_id, user)
        if row.kind == DocumentKind.LICENCE:
            for driver_id in Driver.objects.filter(user=row.owner_id).values_list("pk", flat=True):
                review_after_commit(driver_id)

    @staff_action(
        gettext_lazy("Reject"),
        done=gettext_lazy("rejected"),
        effect=gettext_lazy("They are told why, and can send another one."),
        icon="cancel",
        variant=ActionVariant.DANGER,
        form=ReasonForm,
    )
    def reject(self, document_id: int, user: User, reason: str) -> None:
        document_review.reject_document(document_id, user, reason)


@admin.register(DriverApplication)
class DriverApplicationAdmin(HistoryAdmin):
    """What applicants entered; drivers are approved on their own page, documents on theirs."""

    list_display = ["user", "vehicle", "plate_shown", "sent", "changed"]
    linked_by = ["user__id__exact"]
    list_filter = [("submitted_at", admin.EmptyFieldListFilter), "vehicle_class"]
    search_fields = [*searching.person("user"), "plate"]
    search_help_text = gettext_lazy("Name, phone, e-mail or plate")
    list_select_related = ["user"]
    ordering = ["-updated_at"]
    fields = [
        ("user", "name", "licence_number"),
        ("make", "model", "colour"),
        ("plate_shown", "year"),
        ("vehicle_class", "seats"),
        ("agreed", "sent"),
        "more",
    ]
    readonly_fields = ["plate_shown", "agreed", "sent", "more"]

    @display(description=gettext_lazy("vehicle"))
    def vehicle(self, row: DriverApplication) -> str:
        return f"{row.colour} {row.make} {row.model}".strip() or "–"

    @display(description=gettext_lazy("plate"), ordering="plate")
    def plate_shown(self, row: DriverApplication) -> str:
        return row.plate_text or "–"

    @display(description=gettext_lazy("agreed"))
    def agreed(self, row: DriverApplication) -> str:
        return format_instant(row.consent_at) if row.consent_at else "–"

    @display(description=gettext_lazy("sent"), ordering="submitted_at")
    def sent(self, row: DriverApplication) -> str:
        return format_instant(row.submitted_at) if row.submitted_at else _("not yet")

    @display(description=gettext_lazy("changed"), ordering="updated_at")
    def changed(self, row: DriverApplication) -> str:
        return format_instant(row.updated_at)

    @display(description=gettext_lazy("more"))
    def more(self, row: DriverApplication) -> SafeString:
        documents = f"{reverse('admin:drivers_driverdocument_changelist')}?owner__id__exact={row.pk}"
        links = [(documents, _("Documents"))]
        driver_id = Driver.objects.filter(user_id=row.pk).values_list("pk", flat=True).first()
        if driver_id is not None:
            # Where they are approved or rejected.
            links.append((reverse("admin:drivers_driver_change", args=[driver_id]), _("Driver")))
        return format_html_join(" · ", '<a class="text-link" href="{}">{}</a>', links)
