"""URLs of the notification list behind the bell."""

from django.urls import path

from . import views
from .delivery.choice_pages import choose_notifications
from .push import views as push

app_name = "realtime"

urlpatterns = [
    path("", views.notifications, name="notifications"),
    path("push/", choose_notifications, name="pushes"),
    path("push/off/", push.turn_off, name="pushes-off"),
    path("read-all/", views.read_all, name="notifications-read"),
    path("<row:notification_id>/read/", views.read, name="notification-read"),
]
