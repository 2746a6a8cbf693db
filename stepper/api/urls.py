"""The REST addresses, each without its trailing slash (`stepper.web.middleware.ApiTrailingSlashMiddleware`)."""

from django.urls import path, re_path

import drivers.api as drivers
import drivers.earnings.api as earnings
import realtime.api as realtime
import realtime.push.api as push
import trips.api as trips
import trips.place_api as places
from stepper.api import sessions, tokens
from stepper.api.errors import unknown_address

app_name = "api"


urlpatterns = [
    path("token", tokens.TokenView.as_view(), name="token"),
    path("phone/code", tokens.PhoneCodeView.as_view(), name="phone-code"),
    path("token/refresh", tokens.TokenRefreshView.as_view(), name="token-refresh"),
    path("token/revoke", tokens.TokenRevokeView.as_view(), name="token-revoke"),
    path("token/confirm", sessions.ConfirmView.as_view(), name="token-confirm"),
    path("sessions", sessions.SessionsView.as_view(), name="sessions"),
    path("sessions/end-others", sessions.EndOthersView.as_view(), name="sessions-end-others"),
    path("sessions/end-all", sessions.EndAllView.as_view(), name="sessions-end-all"),
    path("sessions/<row:session_id>", sessions.SessionView.as_view(), name="session"),
    path("push", push.PushView.as_view(), name="push"),
    path("push/topics", push.PushTopicsView.as_view(), name="push-topics"),
    path("me", drivers.MeView.as_view(), name="me"),
    path("notifications", realtime.NotificationsView.as_view(), name="notifications"),
    path("notifications/read", realtime.NotificationsReadView.as_view(), name="notifications-read"),
    path("notifications/<row:notification_id>/read", realtime.NotificationReadView.as_view(), name="notification-read"),
    path("places", places.PlacesView.as_view(), name="places"),
    path("places/at", places.PlaceAtView.as_view(), name="place-at"),
    path("trips", trips.TripsView.as_view(), name="trips"),
    path("trips/quote", trips.QuoteView.as_view(), name="trip-quote"),
    path("trips/<row:trip_id>", trips.TripView.as_view(), name="trip"),
    path("trips/<row:trip_id>/cancel", trips.CancelView.as_view(), name="trip-cancel"),
    path("trips/<row:trip_id>/rate", trips.RateView.as_view(), name="trip-rate"),
    path("trips/<row:trip_id>/location", trips.LocationView.as_view(), name="trip-location"),
    path("trips/<row:trip_id>/broadcast-offer", trips.BroadcastOfferView.as_view(), name="trip-broadcast-offer"),
    path("trips/<row:trip_id>/widen", trips.WidenView.as_view(), name="trip-widen"),
    path("trips/<row:trip_id>/postpone", trips.PostponeView.as_view(), name="trip-postpone"),
    path("drivers/offers", drivers.OffersView.as_view(), name="driver-offers"),
    path("drivers/trips/accept/<row:trip_id>", drivers.AcceptView.as_view(), name="driver-accept"),
    path("drivers/trips/decline/<row:trip_id>", drivers.DeclineView.as_view(), name="driver-decline"),
    path("drivers/trips/<row:trip_id>/status", drivers.StatusView.as_view(), name="driver-status"),
    path("drivers/availability", drivers.AvailabilityView.as_view(), name="driver-availability"),
    path("drivers/availability/changes", drivers.AvailabilityChangesView.as_view(), name="driver-availability-changes"),
    path("drivers/hours", drivers.HoursView.as_view(), name="driver-hours"),
    path("drivers/breaks", drivers.BreaksView.as_view(), name="driver-breaks"),
    path("drivers/breaks/<row:break_id>", drivers.BreakView.as_view(), name="driver-break"),
    path("drivers/location", drivers.PositionView.as_view(), name="driver-location"),
    path("drivers/filters", drivers.FiltersView.as_view(), name="driver-filters"),
    path("drivers/earnings", earnings.EarningsView.as_view(), name="driver-earnings"),
    path("drivers/earnings/trips", earnings.EarningsTripsView.as_view(), name="driver-earnings-trips"),
    path(
        "drivers/earnings/statement.<slug:file_format>",
        earnings.StatementView.as_view(),
        name="driver-earnings-statement",
    ),
    re_path(r"", unknown_address),
]
