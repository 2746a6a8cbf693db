"""Places in the administration: one by one, and many at once from a CSV file."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from stepper.admin.base import StaffAdmin
from trips.models import Place, PlaceSource
from trips.places import csv_import, index
from trips.places.curated import regions
from trips.places.folding import fold


class PlaceForm(forms.ModelForm):
    class Meta:
        model = Place
        fields = "__all__"  # noqa: DJ007 - the page's fieldsets name them

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "region" in self.fields:
            names = sorted((region.name, code) for code, region in regions().items() if "-" in code)
            self.fields["region"] = forms.ChoiceField(
                label=self.fields["region"].label,
                required=False,
                choices=[("", "–"), *((code, name) for name, code in names)],
                widget=UnfoldAdminSelectWidget,
            )

    def clean_country(self) -> str:
        country: str = self.cleaned_data["country"].upper()
        return country


class ImportForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,text/csv"}),
        help_text=gettext_lazy("At most 1 MB, UTF-8."),
    )


@admin.register(Place)
class PlaceAdmin(StaffAdmin):
    form = PlaceForm
    list_display = ["name_en", "name_ru", "name_kk", "kind", "country", "region_shown", "rank", "source", "is_shown"]
    list_filter = ["kind", "source", "country", "is_shown"]
    search_fields = ["name_en", "name_ru", "name_kk", "aliases", "=slug"]
    ordering = ["-rank", "pk"]
    readonly_fields = ["slug", "source", "changed_at"]
    actions_list = ["import_file"]
    fieldsets = [
        (None, {"fields": ["kind", ("name_en", "name_ru", "name_kk"), "aliases", ("lat", "lng")]}),
        (gettext_lazy("Below the name"), {"fields": [("country", "region"), "address_en", "address_ru", "address_kk"]}),
        (gettext_lazy("In the search"), {"fields": [("rank", "popular"), "is_shown"]}),
        (gettext_lazy("Where it is from"), {"fields": [("slug", "source", "changed_at")]}),
    ]

    @display(description=gettext_lazy("region"), ordering="region")
    def region_shown(self, place: Place) -> str:
        region = regions().get(place.region)
        return region.name if region else "–"

    def save_model(self, request: HttpRequest, obj: Place, form: forms.ModelForm, change: bool) -> None:
        """Save what was edited; from now on the place is staff's, and no import changes it."""
        obj.source = PlaceSource.STAFF
        super().save_model(request, obj, form, change)

    def edited_columns(self, obj: Place, form: forms.ModelForm) -> list[str]:
        edited = super().edited_columns(obj, form)
        return [*edited, "source"] if edited else []

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Find places also by how people spell them, as the booking page does."""
        found, many = super().get_search_results(request, queryset, search_term)
        if fold(search_term):
            alike = [entry.place.pk for entry in index.current().search(search_term, limit=50)]
            found |= queryset.filter(pk__in=alike)
        return found, many

    def has_import_file_permission(self, request: HttpRequest, *_row: Any) -> bool:
        """An import adds places and changes others."""
        return self.has_add_permission(request) and self.has_change_permission(request)

    @action(
        description=gettext_lazy("Import a CSV file"), icon="upload", url_path="import", permissions=["import_file"]
    )
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Ask for a file, and import it or show what is wrong with which row."""
        is_sent = request.method == "POST"
        form = ImportForm(request.POST, request.FILES) if is_sent else ImportForm()
        outcome: csv_import.Outcome | None = None
        if form.is_valid():
            outcome = csv_import.import_csv(form.cleaned_data["file"].read())
            if not outcome.errors:
                self._report(request, outcome)
                return HttpResponseRedirect(reverse("admin:trips_place_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import places from a CSV file"),
            "subtitle": None,
            "form": form,
            "outcome": outcome,
            "columns": csv_import.COLUMNS,
            "media": self.media + form.media,
            "back": reverse("admin:trips_place_changelist"),
        }
        return TemplateResponse(request, "admin/place_import.html", context, status=422 if is_sent else 200)

    def _report(self, request: HttpRequest, outcome: csv_import.Outcome) -> None:
        added = ngettext("%(count)d place added", "%(count)d places added", outcome.added) % {"count": outcome.added}
        changed = ngettext("%(count)d changed", "%(count)d changed", outcome.changed) % {"count": outcome.changed}
        messages.success(request, _("%(added)s, %(changed)s.") % {"added": added, "changed": changed})
