"""Vehicles in the admin: their plates, and the drivers who share one."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from stepper.admin import searching
from stepper.admin.base import COLOURS, Label, StaffAdmin

from ..models import Driver, Vehicle
from ..plates import DOUBT, is_doubtful, validate_plate
from .drivers import name_with_availability, review_after_commit


class DriversFilter(admin.SimpleListFilter):
    title = gettext_lazy("drivers")
    parameter_name = "drivers"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("none", _("None")), ("shared", _("Shared by several"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> QuerySet[Vehicle]:
        if self.value() == "none":
            return queryset.filter(driver__isnull=True)
        if self.value() == "shared":
            shared = Driver.objects.order_by().values("vehicle").annotate(drivers=Count("pk")).filter(drivers__gt=1)
            return queryset.filter(pk__in=shared.values("vehicle"))
        return queryset


class PlateFilter(admin.SimpleListFilter):
    title = gettext_lazy("plate")
    parameter_name = "plate"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("doubt", _("In doubt: another vehicle has the same"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> QuerySet[Vehicle]:
        return queryset.filter(plate__contains=DOUBT) if self.value() == "doubt" else queryset


class VehicleForm(forms.ModelForm):
    def clean_plate(self) -> str:
        """Check a new plate; one in doubt may stay, so that something else of the vehicle can be corrected."""
        plate: str = self.cleaned_data["plate"]
        if plate != self.initial.get("plate"):
            validate_plate(plate)
        return plate


@admin.register(Vehicle)
class VehicleAdmin(StaffAdmin):
    form = VehicleForm
    list_display = ["plate_shown", "label", "vehicle_class", "seats", "year", "drivers_shown"]
    list_filter = ["vehicle_class", "seats", DriversFilter, PlateFilter]
    search_fields = ["=id", "plate", "make", "model", *searching.person("driver__user")]
    ordering = ["plate"]
    readonly_fields = ["drivers_shown"]
    fieldsets = [
        (None, {"fields": ["plate", ("make", "model"), ("colour", "year"), ("vehicle_class", "seats")]}),
        (gettext_lazy("Drivers"), {"fields": ["drivers_shown"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Vehicle]:
        drivers = Driver.objects.select_related("user").order_by("pk")
        return super().get_queryset(request).prefetch_related(Prefetch("drivers", drivers))

    def save_model(self, request: HttpRequest, obj: Vehicle, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and {"seats", "vehicle_class"} & set(form.changed_data):
            for driver in obj.drivers.all():
                review_after_commit(driver.pk)

    @display(description=gettext_lazy("plate"), ordering="plate", label=COLOURS)
    def plate_shown(self, vehicle: Vehicle) -> Label:
        if is_doubtful(vehicle.plate):
            return Label("danger", _("%(plate)s, in doubt") % {"plate": vehicle.plate_text})
        return Label("default", vehicle.plate_text)

    @display(description=gettext_lazy("vehicle"), ordering="make")
    def label(self, vehicle: Vehicle) -> str:
        return vehicle.label

    @display(description=gettext_lazy("drivers"))
    def drivers_shown(self, vehicle: Vehicle) -> str:
        """Name the drivers who share the vehicle, and which of them is online or on a trip with it."""
        drivers = vehicle.drivers.all() if vehicle.pk else []
        return ", ".join(name_with_availability(driver) for driver in drivers) or "–"
