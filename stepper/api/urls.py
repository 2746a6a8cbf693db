"""The REST addresses, each without its trailing slash (`stepper.web.middleware.ApiTrailingSlashMiddleware`)."""

from django.urls import path, re_path

import drivers.api as drivers
import drivers.earnings.api as earnings
import realtime.api as realtime
import realtime.delivery.choice_api as choice_api
import realtime.push.api as push
import stepper.personal.api as personal
import trips.api as trips
import trips.call_api as calls
import trips.message_api as messages
import trips.place_api as places
import trips.quote_api as quote_api
import trips.saved_place_api as saved_places
import trips.share_api as share_api
from stepper.api import phones, sessions, tokens
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
    path("account/export", personal.ExportView.as_view(), name="account-export"),
    path("account/erase", personal.EraseView.as_view(), name="account-erase"),
    path("account/phone/code", phones.NewPhoneCodeView.as_view(), name="account-phone-code"),
    path("account/phone/own/code", phones.OwnPhoneCodeView.as_view(), name="account-own-phone-code"),
    path("account/phone/own", phones.OwnPhoneView.as_view(), name="account-own-phone"),
    path("account/phone", phones.NewPhoneView.as_view(), name="account-phone"),
    path("account/places", saved_places.SavedPlacesView.as_view(), name="account-places"),
    path("account/places/<row:place_id>", saved_places.SavedPlaceView.as_view(), name="account-place"),
    path("push", push.PushView.as_view(), name="push"),
    path("push/topics", push.PushTopicsView.as_view(), name="push-topics"),
    path("me", drivers.MeView.as_view(), name="me"),
    path("notifications", realtime.NotificationsView.as_view(), name="notifications"),
    path("notifications/choices", choice_api.ChoicesView.as_view(), name="notification-choices"),
    path("notifications/read", realtime.NotificationsReadView.as_view(), name="notifications-read"),
    path("notifications/<row:notification_id>/read", realtime.NotificationReadView.as_view(), name="notification-read"),
    path("places", places.PlacesView.as_view(), name="places"),
    path("places/at", places.PlaceAtView.as_view(), name="place-at"),
    path("wishes", trips.WishesView.as_view(), name="wishes"),
    path("calls", calls.CallsView.as_view(), name="calls"),
    path("trips", trips.TripsView.as_view(), name="trips"),
    path("trips/quote", quote_api.QuoteView.as_view(), name="trip-quote"),
    path("trips/<row:trip_id>", trips.TripView.as_view(), name="trip"),
    path("trips/<row:trip_id>/cancel", trips.CancelView.as_view(), name="trip-cancel"),
    path("trips/<row:trip_id>/rate", trips.RateView.as_view(), name="trip-rate"),
    path("trips/<row:trip_id>/shares", share_api.SharesView.as_view(), name="trip-shares"),
    path("trips/<row:trip_id>/shares/<row:share_id>", share_api.ShareView.as_view(), name="trip-share"),
    path("trips/<row:trip_id>/location", trips.LocationView.as_view(), name="trip-location"),
    path("trips/<row:trip_id>/broadcast-offer", trips.BroadcastOfferView.as_view(), name="trip-broadcast-offer"),
    path("trips/<row:trip_id>/messages", messages.MessagesView.as_view(), name="trip-messages"),
    path("trips/<row:trip_id>/messages/read", messages.MessagesReadView.as_view(), name="trip-messages-read"),
    path(
        "trips/<row:trip_id>/messages/<row:message_id>/report",
        messages.MessageReportView.as_view(),
        name="trip-message-report",
    ),
    path("trips/<row:trip_id>/safety", messages.SafetyView.as_view(), name="trip-safety"),
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
