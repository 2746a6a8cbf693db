"""The pages of the operations room, at `/ops/`."""

from django.urls import path

from stepper.ops import audit, call, drivers, room, staying, system, trips
from stepper.ops.reports import fares, pages, statements

app_name = "ops"

urlpatterns = [
    path("", room.show, name="room"),
    path("system/", system.show, name="system"),
    path("stay/", staying.stay, name="stay"),
    path("queue/", room.show_queue, name="queue"),
    path("claims/<slug:subject>/<row:row_id>/", room.claim, name="claim"),
    path("search/", room.search, name="search"),
    path("in-view/", room.list_in_view, name="in-view"),
    path("map/drivers/<row:driver_id>/", room.show_driver, name="map-driver"),
    path("map/trips/<row:trip_id>/", room.show_trip, name="map-trip"),
    path("audit/", audit.show, name="audit"),
    path("audit/export/", audit.export, name="audit-export"),
    path("call/", call.show, name="call"),
    path("call/caller/", call.caller, name="call-caller"),
    path("call/quote/", call.quote, name="call-quote"),
    path("call/book/", call.book, name="call-book"),
    path("trips/", trips.trips, name="trips"),
    path("trips/<row:trip_id>/", trips.trip, name="trip"),
    path("trips/<row:trip_id>/history/", trips.history, name="trip-history"),
    path("trips/<row:trip_id>/trail/", trips.trail, name="trip-trail"),
    path("trips/<row:trip_id>/driver/", trips.pick, name="trip-pick"),
    path("trips/<row:trip_id>/edit/", trips.edit, name="trip-edit"),
    path("trips/<row:trip_id>/do/<slug:name>/", trips.act, name="trip-act"),
    path("drivers/", drivers.drivers, name="drivers"),
    path("drivers/<row:driver_id>/", drivers.driver, name="driver"),
    path("drivers/<row:driver_id>/history/", drivers.history, name="driver-history"),
    path("drivers/<row:driver_id>/do/<slug:name>/", drivers.act, name="driver-act"),
    path("reports/", pages.report, name="reports"),
    path("reports/statements/", statements.statement, name="report-statement"),
    path("reports/statements/statement.<slug:file_format>", statements.statement_file, name="report-statement-file"),
    path("reports/<slug:name>/", pages.report, name="report"),
    path("reports/<slug:name>.<slug:file_format>", pages.report_file, name="report-file"),
    path("settings/", fares.fares, name="fares"),
]
