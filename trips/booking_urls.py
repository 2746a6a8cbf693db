"""The address of the booking form, /book/; what belongs to a trip is below /trips/."""

from django.urls import path

from . import booking_pages

app_name = "booking"

urlpatterns = [
    path("", booking_pages.book, name="book"),
]
