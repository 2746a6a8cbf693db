"""URLs of the WebSockets."""

from django.urls import path

from realtime.sockets import pages, program, shared

websocket_urlpatterns = [
    path("ws/", program.ProgramConsumer.as_asgi()),
    path("ws/dashboard/driver/", pages.DriverPageConsumer.as_asgi()),
    path("ws/dashboard/earnings/<slug:kind>/<slug:period>/", pages.EarningsPageConsumer.as_asgi()),
    path("ws/dashboard/apply/", pages.ApplicationPageConsumer.as_asgi()),
    path("ws/dashboard/trips/", pages.TripListPageConsumer.as_asgi()),
    path("ws/shared/<slug:language>/<str:token>/", shared.SharedTripPageConsumer.as_asgi()),
    path("ws/dashboard/trips/<row:trip_id>/", pages.TripPageConsumer.as_asgi()),
]
