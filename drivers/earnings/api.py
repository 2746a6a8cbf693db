"""REST for the driver's own earnings: sums of a period, its trips, statements of a month."""

import datetime as dt
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from rest_framework.response import Response

from drivers.api import DriverView
from stepper.api.base import ApiRequest
from stepper.db.clock import database_now
from stepper.web.downloads import file_response

from . import listing, periods, statements
from .page import EarningsPage
from .sums import Sums


class EarningsView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """Return the sums of a day, week or month, and of its hours or days."""
        now = database_now()
        page = EarningsPage(self.driver, _period(self.driver.timezone, request, now), now)
        worked = page.hours
        return Response(
            {
                "period": page.period.kind,
                page.period.kind: page.period.key,
                "timezone": self.driver.timezone,
                "starts_at": page.period.starts_at,
                "ends_at": page.period.ends_at,
                **_money(page.total),
                "cash_collected": page.cash_collected,
                "fees_owed": page.total.fee_owed,
                "online_min": worked.online_min if worked else None,
                "on_trips_min": worked.on_trips_min if worked else None,
                "per_hour": page.per_hour,
                "spans": [{"starts_at": bar.span.starts_at, **_money(bar.sums)} for bar in page.chart.bars],
            }
        )


class EarningsTripsView(DriverView):
    def get(self, request: ApiRequest) -> Response:
        """List the completed trips of a period, the latest first."""
        period = _period(self.driver.timezone, request, database_now())
        page = listing.page(self.driver.pk, period, request.query_params.get("before", ""))
        trips = [
            {
                "id": trip.trip_id,
                "completed_at": trip.completed_at,
                "pickup": trip.pickup,
                "dropoff": trip.dropoff,
                "distance_km": trip.distance_km,
                "fare": trip.fare,
                "platform_fee": trip.fee,
                "driver_earnings": trip.earned,
                "cash": trip.cash,
            }
            for trip in page.trips
        ]
        return Response({"trips": trips, "before": page.more or None})


class StatementView(DriverView):
    def get(self, request: ApiRequest, file_format: str) -> HttpResponse:
        """Send the statement of a month as a file."""
        found = statements.read_statement(self.driver, request.query_params.get("month", ""))
        return file_response(statements.write(found, file_format))


def _period(zone: str, request: ApiRequest, now: dt.datetime) -> periods.Period:
    return periods.requested(request.query_params.dict(), ZoneInfo(zone), now)


def _money(sums: Sums) -> dict[str, int]:
    return {"trips": sums.trips, "fare": sums.fare, "platform_fee": sums.fee, "driver_earnings": sums.earned}
