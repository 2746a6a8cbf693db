"""Addresses of the passengers' pages."""

from django.urls import path

from . import booking_pages, change_views, message_views, receipt_views, share_views, views

app_name = "trips"

urlpatterns = [
    path("", views.trips, name="list"),
    path("new/", booking_pages.moved, name="book"),
    path("quote/", booking_pages.quote, name="quote"),
    path("<row:trip_id>/", views.detail, name="detail"),
    path("<row:trip_id>/change/", change_views.change, name="change"),
    path("<row:trip_id>/change/quote/", change_views.quote, name="change-quote"),
    path("<row:trip_id>/calendar.ics", change_views.calendar, name="calendar"),
    path("<row:trip_id>/cancel/", views.cancel, name="cancel"),
    path("<row:trip_id>/share/", share_views.create, name="share-create"),
    path("<row:trip_id>/share/send/", share_views.send_again, name="share-send"),
    path("<row:trip_id>/share/<row:share_id>/revoke/", share_views.revoke, name="share-revoke"),
    path("<row:trip_id>/receipt/", receipt_views.receipt, name="receipt"),
    path("<row:trip_id>/receipt.pdf", receipt_views.receipt_pdf, name="receipt-pdf"),
    path("<row:trip_id>/messages/", message_views.conversation, name="messages"),
    path("<row:trip_id>/messages/read/", message_views.read, name="messages-read"),
    path("<row:trip_id>/messages/<row:message_id>/report/", message_views.report, name="message-report"),
    path("<row:trip_id>/safety/", message_views.help_page, name="safety"),
    path("<row:trip_id>/driver-photo/<row:photo_id>/", views.driver_photo, name="driver-photo"),
    path("<row:trip_id>/rate/", views.rate, name="rate"),
    path("<row:trip_id>/offer-again/", views.offer_again, name="offer-again"),
    path("<row:trip_id>/widen/", views.widen, name="widen"),
    path("<row:trip_id>/postpone/", views.postpone, name="postpone"),
]
