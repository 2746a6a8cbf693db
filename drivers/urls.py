"""URLs of the driver's dashboard and earnings."""

from django.urls import path

from . import settings_views, views
from .earnings import views as earnings

app_name = "drivers"

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("tab/<slug:name>/", views.tab, name="tab"),
    path("offers/<row:offer_id>/accept/", views.accept_offer, name="offer-accept"),
    path("offers/<row:offer_id>/decline/", views.decline_offer, name="offer-decline"),
    path("earnings/", earnings.earnings, name="earnings"),
    path("earnings/statement.<slug:file_format>", earnings.statement, name="earnings-statement"),
    path("availability/", views.set_availability, name="availability-set"),
    path("hours/", views.set_hours, name="hours-set"),
    path("breaks/", views.take_break, name="break-take"),
    path("breaks/<row:break_id>/end/", views.end_break, name="break-end"),
    path("filters/", views.set_filters, name="filters-set"),
    path("settings/", settings_views.settings, name="settings"),
    path("settings/delete/", settings_views.delete_account, name="account-delete"),
    path("trips/<row:trip_id>/status/", views.update_trip, name="trip-status"),
    path("trips/<row:trip_id>/rate/", views.rate_passenger, name="trip-rate"),
]
