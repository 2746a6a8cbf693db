"""The addresses of saved places, below /account/places/."""

from django.urls import path

from . import saved_place_pages

app_name = "places"

urlpatterns = [
    path("", saved_place_pages.listing, name="list"),
    path("<row:place_id>/rename/", saved_place_pages.rename, name="rename"),
    path("<row:place_id>/delete/", saved_place_pages.delete, name="delete"),
]
