"""REST for prices: what a booking would cost in each class, before it is booked."""

from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.api.base import ApiRequest, InstantField, read

from . import quotes
from .quotes import ClassQuote, Quotes
from .serializers import BookingSerializer


class ClassQuoteSerializer(serializers.Serializer[ClassQuote]):
    vehicle_class = serializers.CharField()
    seats = serializers.IntegerField()
    # False: more people travel than it has seats for.
    has_room = serializers.BooleanField()
    fare = serializers.IntegerField(source="price.fare")
    seat_price = serializers.IntegerField(source="price.seat_price")
    # A smaller class costs as much.
    same_price = serializers.BooleanField()
    # Minutes until the nearest free driver is at the pickup, in steps of five; null: nobody is near, or for later.
    wait_min = serializers.IntegerField(allow_null=True)


class QuotesSerializer(serializers.Serializer[Quotes]):
    """The price of the wanted class with its parts, of each class, and what a booking sends back to get it."""

    distance_km = serializers.FloatField(source="chosen.price.distance_km")
    duration_min = serializers.IntegerField(source="chosen.price.duration_min")
    zone = serializers.CharField(source="chosen.price.zone")
    base = serializers.IntegerField(source="chosen.price.base")
    distance_fare = serializers.IntegerField(source="chosen.price.distance_fare")
    multiplier = serializers.FloatField(source="chosen.price.multiplier")
    fare = serializers.IntegerField(source="chosen.price.fare")
    seat_price = serializers.IntegerField(source="chosen.price.seat_price")
    classes = ClassQuoteSerializer(many=True, read_only=True)
    # When drivers are asked about a trip for later; null: as soon as it is booked.
    asked_from = InstantField()
    # A booking with this token pays these prices, until then.
    quote = serializers.CharField(source="kept.token")
    kept_until = InstantField(source="kept.until")


class QuoteView(APIView):
    def post(self, request: ApiRequest) -> Response:
        """Answer what a booking would cost in each class, and the token that keeps these prices; nothing is booked."""
        found = quotes.quote_booking(request.user, read(request, BookingSerializer)["request"])
        return Response(QuotesSerializer(found).data)
