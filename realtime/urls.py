"""URLs of the notification list behind the bell."""

from django.urls import path

from . import views

app_name = "realtime"

urlpatterns = [
    path("", views.notifications, name="notifications"),
    path("read-all/", views.read_all, name="notifications-read"),
    path("<row:notification_id>/read/", views.read, name="notification-read"),
]
