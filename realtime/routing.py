"""URLs of the WebSockets."""

from django.urls import path

from realtime.sockets import ops, ops_pages, pages, program, shared

websocket_urlpatterns = [
    path("ws/", program.ProgramConsumer.as_asgi()),
    path("ws/dashboard/driver/", pages.DriverPageConsumer.as_asgi()),
    path("ws/dashboard/earnings/<slug:kind>/<slug:period>/", pages.EarningsPageConsumer.as_asgi()),
    path("ws/dashboard/apply/", pages.ApplicationPageConsumer.as_asgi()),
    path("ws/dashboard/ops/", ops.OpsPageConsumer.as_asgi()),
    path("ws/dashboard/trips/", pages.TripListPageConsumer.as_asgi()),
    path("ws/ops/trips/<row:trip_id>/", ops_pages.OpsTripPageConsumer.as_asgi()),
    path("ws/ops/drivers/<row:driver_id>/", ops_pages.OpsDriverPageConsumer.as_asgi()),
    path("ws/shared/<slug:language>/<str:token>/", shared.SharedTripPageConsumer.as_asgi()),
    path("ws/dashboard/trips/<row:trip_id>/", pages.TripPageConsumer.as_asgi()),
]
