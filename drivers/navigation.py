"""The apps that lead a driver somewhere: each is opened by an address, with where to go in it."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class NavigationApp(models.TextChoices):
    TWO_GIS = "2gis", "2GIS"
    YANDEX = "yandex", _("Yandex Maps")
    GOOGLE = "google", _("Google Maps")
    APPLE = "apple", _("Apple Maps")
    WAZE = "waze", "Waze"


# Addresses that open the app where it is installed, and its web page elsewhere.
_ADDRESSES = {
    NavigationApp.TWO_GIS: "https://2gis.kz/directions/points/%7C{lng}%2C{lat}",
    NavigationApp.YANDEX: "https://yandex.com/maps/?rtext=~{lat}%2C{lng}&rtt=auto",
    NavigationApp.GOOGLE: "https://www.google.com/maps/dir/?api=1&destination={lat},{lng}",
    NavigationApp.APPLE: "https://maps.apple.com/?daddr={lat},{lng}&dirflg=d",
    NavigationApp.WAZE: "https://waze.com/ul?ll={lat}%2C{lng}&navigate=yes",
}


def navigation_url(app: str, lat: float, lng: float) -> str:
    """Return the address that leads to a place; an app that is unknown, as of a newer release, is Google's."""
    known = NavigationApp(app) if app in NavigationApp.values else NavigationApp.GOOGLE
    return _ADDRESSES[known].format(lat=lat, lng=lng)
