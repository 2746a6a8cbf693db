"""What every REST endpoint shares: one error shape, sign-in by token, rate limits, strict JSON, typed fields.

Every refusal is `{"code", "message", "fields"?}`: the code is for programs and stable, the message for people
and in their language, `fields` maps a dotted path of the input ("pickup.lat") to what is wrong with it.
Does not import `rest_framework.views`, whose classes load this module through the settings.
"""

import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import IO, Any, TypeVar

import msgspec
from allauth.headless.contrib.rest_framework.authentication import JWTTokenAuthentication
from allauth.headless.internal.sessionkit import session_store
from allauth.headless.tokens.strategies.jwt import internal as jwt_tokens
from django.utils import translation
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions, pagination, parsers, serializers, throttling
from rest_framework.request import Request

from stepper import limits
from stepper.accounts import sessions
from stepper.accounts.session_store import keep_program_of_staff
from stepper.errors import InvalidFields, InvalidInput, Text
from stepper.models import ServiceSettings, User
from stepper.texts import clean_text
from stepper.time_zones import USABLE_YEARS
from stepper.validation_errors import read_problem

T = TypeVar("T")


class ApiRequest(Request):
    """The request that views get: nobody reaches one without being signed in."""

    user: User


# Sign-in


class BearerAuthentication(JWTTokenAuthentication):
    """`Authorization: Bearer <access token>`; the token's session and its user are looked up on every request."""

    def authenticate(self, request: Request) -> tuple[User, dict[str, Any]] | None:
        """Return the user and what the token claims, None: there is no token. Notes that its session is in use."""
        found: tuple[User, dict[str, Any]] | None = super().authenticate(request)
        if found is not None:
            session = session_store(jwt_tokens.session_key_from_sid(found[1]["sid"]))
            address, user_agent = request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_USER_AGENT", "")
            sessions.mark_seen(session, address=address, user_agent=user_agent)
            if found[0].is_staff:
                keep_program_of_staff(session.session_key)
            if "Accept-Language" not in request.headers:
                translation.activate(found[0].offered_language)
        return found

    def authenticate_credentials(self, key: str) -> tuple[User, dict[str, Any]]:
        user, payload = super().authenticate_credentials(key)
        if not user.is_active:
            raise exceptions.AuthenticationFailed()
        return user, payload


# Limits


def authenticate_token(token: str) -> User | None:
    """Return the active user whose session the access token belongs to; None: wrong, expired or revoked."""
    try:
        user, _payload = BearerAuthentication().authenticate_credentials(token)
    except exceptions.AuthenticationFailed:
        return None
    return user


class UserThrottle(throttling.BaseThrottle):
    """Limit a signed-in user to `api_per_min` requests a minute; requests without a user are not counted here."""

    def __init__(self) -> None:
        self._wait_s: int | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.user.pk is None:
            return True
        self._wait_s = limits.count_and_get_wait_s("api", request.user.pk, most=ServiceSettings.current().api_per_min)
        return self._wait_s is None

    def wait(self) -> float | None:
        return self._wait_s


# Input


class JSONParser(parsers.JSONParser):
    """UTF-8 JSON without NaN and Infinity; nesting without end is malformed, not a fault."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return msgspec.json.decode(stream.read())
        except (ValueError, RecursionError) as error:
            raise exceptions.ParseError() from error


def read(request: Request, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """Validate the body with a serializer and return its fields.

    Raises:
        rest_framework.exceptions.ValidationError: answered as `input.invalid` with `fields`.
    """
    bound = serializer(data=request.data)
    bound.is_valid(raise_exception=True)
    validated: dict[str, Any] = bound.validated_data
    return validated


_BOUNDS = {
    ">=": _("At least %(limit)s."),
    "<=": _("At most %(limit)s."),
    ">": _("More than %(limit)s."),
    "<": _("Less than %(limit)s."),
}


def read_struct(request: Request, kind: type[T]) -> T:
    """Read the body as a struct of the event contract, by the same rules as over a socket.

    Raises:
        InvalidInput: names the first field that is wrong.
    """
    try:
        return msgspec.convert(request.data, kind)
    except msgspec.ValidationError as error:
        problem = read_problem(error)
        message: Text = _("This is not what it should be.")
        if problem.is_missing:
            message = _("This field is required.")
        elif problem.bound is not None:
            message = _BOUNDS[problem.bound.sign] % {"limit": problem.bound.limit}
        raise InvalidFields({problem.dotted or "body": [message]}) from error


class StringField(serializers.CharField):
    """A string, not a number that could be written as one; without invisible characters (stepper.texts)."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation(clean_text(data, multiline=True) if isinstance(data, str) else data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class PasswordField(serializers.CharField):
    """A password exactly as it was typed: whatever is cleaned off a text may be a part of it."""

    def __init__(self, *, required: bool = True) -> None:
        super().__init__(max_length=1024, trim_whitespace=False, required=required)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class IntField(serializers.IntegerField):
    """A whole number: not "3", not true, not 3.5. Give a `max_value`, integers of JSON have none."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class NumberField(serializers.FloatField):
    """A finite number, not "3.5" and not true."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            value = float(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(value):
            self.fail("invalid")
        return value


class InstantField(serializers.DateTimeField):
    """An instant: ISO 8601 with its offset when read, UTC when written."""

    default_error_messages = {
        "invalid": _("Write the time as {format}."),
        "naive": _("Give the offset from UTC, such as 2030-05-01T09:00:00+05:00."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=dt.UTC, **kwargs)

    def to_internal_value(self, value: Any) -> dt.datetime:
        if not isinstance(value, str):
            self.fail("invalid", format="YYYY-MM-DDThh:mm:ss±hh:mm")
        try:
            parsed = parse_datetime(value)
        except ValueError:
            parsed = None
        if parsed is None:
            self.fail("invalid", format="YYYY-MM-DDThh:mm:ss±hh:mm")
        if parsed.tzinfo is None:
            self.fail("naive")
        if parsed.year not in USABLE_YEARS:
            self.fail("invalid", format="YYYY-MM-DDThh:mm:ss±hh:mm")
        return self.enforce_timezone(parsed)


# Lists


class NewestFirst(pagination.CursorPagination):
    """Pages by the row's id, newest first: stable while rows are added, and one query however deep."""

    ordering = "-pk"
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100

    def get_page_size(self, request: Request) -> int:
        """Read how many rows were asked for, at most `max_page_size`. Raises InvalidInput for what is no number."""
        asked = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not re.fullmatch(r"[1-9][0-9]{0,8}", asked):
            raise InvalidFields({self.page_size_query_param: [_("A number from 1 on.")]})
        return min(int(asked), self.max_page_size)

    def refuse(self, request: Request, wrong: Mapping[str, list[Text]]) -> None:
        """Raise InvalidInput where something is wrong with a query: all of it, the page's own parameters too.

        `wrong`: what is wrong with the list's own parameters.
        """
        fields: dict[str, list[Text]] = {name: list(words) for name, words in wrong.items()}
        for read_parameter in (self.get_page_size, self.decode_cursor):
            try:
                read_parameter(request)
            except InvalidInput as error:
                fields |= error.fields
        if fields:
            raise InvalidFields(fields)

    def decode_cursor(self, request: Request) -> Any:
        try:
            cursor = super().decode_cursor(request)
        except exceptions.NotFound as error:
            raise self._invalid() from error
        # The position goes into the query as it is.
        if cursor and cursor.position is not None and not re.fullmatch(r"[0-9]{1,18}", str(cursor.position)):
            raise self._invalid()
        return cursor

    def _invalid(self) -> InvalidInput:
        return InvalidFields({"cursor": [_("Not a cursor that this list gave out.")]})
