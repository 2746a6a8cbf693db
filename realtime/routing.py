"""Addresses of the sockets."""

from django.urls import path

from . import consumers

websocket_urlpatterns = [
    path("ws/", consumers.ProgramConsumer.as_asgi()),
    path("ws/dashboard/driver/", consumers.DriverPageConsumer.as_asgi()),
    path("ws/dashboard/trips/", consumers.TripListPageConsumer.as_asgi()),
    path("ws/dashboard/trips/<row:trip_id>/", consumers.TripPageConsumer.as_asgi()),
]
