"""What every REST endpoint shares: one error shape, sign-in by token, rate limits, strict JSON, typed fields.

Every refusal is `{"code", "message", "fields"?}`: the code is for programs and stable, the message for people
and in their language, `fields` maps a dotted path of the input ("pickup.lat") to what is wrong with it.
Does not import `rest_framework.views`, whose classes load this module through the settings.
"""

import datetime as dt
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any, TypeVar

import msgspec
from allauth.headless.contrib.rest_framework.authentication import JWTTokenAuthentication
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import RedisError
from rest_framework import exceptions, pagination, parsers, serializers, throttling
from rest_framework.request import Request
from rest_framework.response import Response

from . import limits
from .errors import (
    DomainError,
    InvalidInput,
    Misfit,
    NotFound,
    NotPermitted,
    NotSignedIn,
    Text,
    TooManyRequests,
    Unavailable,
)
from .middleware import API_PREFIX
from .models import ServiceSettings, User
from .refusals import over_limit

logger = logging.getLogger("stepper.api")

T = TypeVar("T")


class ApiRequest(Request):
    """The request that views get: nobody reaches one without being signed in."""

    user: User


INVALID = _("Please correct what is marked.")


# Errors


class ProtocolError(DomainError):
    """A refusal of the protocol, not of the domain: wrong verb, wrong content type, too large."""

    def __init__(self, status: int, code: str, message: Text) -> None:
        super().__init__(code, message)
        self.status = status


def _flatten(detail: Any, path: str = "") -> Iterator[tuple[str, list[Text]]]:
    """A serializer's nested errors as (dotted path, messages); what concerns the whole body is under "body"."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            at_object = name == "non_field_errors"
            yield from _flatten(inner, path if at_object else f"{path}.{name}" if path else str(name))
    elif any(isinstance(item, Mapping) for item in detail):
        for index, inner in enumerate(detail):
            yield from _flatten(inner, f"{path}.{index}" if path else str(index))
    elif detail:
        yield path or "body", [str(message) for message in detail]


def _as_domain_error(error: Exception) -> DomainError | None:
    """The refusal that an exception of the framework means; None: it is a fault, not a refusal."""
    match error:
        case DomainError():
            return error
        case exceptions.ValidationError():
            detail = error.detail
            return InvalidInput("input.invalid", INVALID, dict(_flatten(detail)))
        case exceptions.ParseError():
            return InvalidInput("json.malformed", _("The body is not valid JSON."))
        case exceptions.NotAuthenticated():
            return NotSignedIn("auth.required", _("Sign in first."))
        case exceptions.AuthenticationFailed():
            return NotSignedIn("auth.token_invalid", _("The token is wrong, expired or revoked."))
        case exceptions.PermissionDenied() | PermissionDenied():
            message = str(error.detail) if isinstance(error, exceptions.PermissionDenied) else _("Not allowed.")
            return NotPermitted("auth.forbidden", message)
        case exceptions.NotFound() | Http404():
            return NotFound("not_found", _("There is nothing at this address."))
        case exceptions.Throttled():
            retry_after_s = math.ceil(getattr(error, "wait", None) or limits.WINDOW_S)
            return TooManyRequests("rate.limited", _("Too many requests. Try again in a moment."), retry_after_s)
        case exceptions.MethodNotAllowed():
            return ProtocolError(405, "method.not_allowed", str(error.detail))
        case exceptions.UnsupportedMediaType():
            return ProtocolError(415, "input.unsupported_media_type", _("Send JSON (Content-Type: application/json)."))
        case exceptions.NotAcceptable():
            return ProtocolError(406, "input.not_acceptable", _("Answers are JSON only."))
        case OperationalError() | InterfaceError() | RedisError():
            logger.warning("a request was answered with 503: %s", error)
            return Unavailable("server.unavailable", _("Please try again in a moment."))
    return None


def body_of(error: DomainError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": str(error.message)}
    if error.fields:
        body["fields"] = {path: [str(message) for message in messages] for path, messages in error.fields.items()}
    return body


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answers every refusal in the one shape; None leaves a fault to Django, which logs it and answers 500."""
    refusal = _as_domain_error(error)
    if refusal is None:
        return None
    headers = {}
    if isinstance(refusal, NotSignedIn):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(refusal, TooManyRequests | Unavailable):
        headers["Retry-After"] = str(refusal.retry_after_s)
    response = Response(body_of(refusal), status=refusal.status, headers=headers)
    _is_an_answer(response)
    return response


def _is_an_answer(response: HttpResponse) -> None:
    """Django would log every 503 as a fault of ours; what is away has been logged."""
    response._has_been_logged = True  # type: ignore[attr-defined]


def come_back(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """The answer where a request was refused for now: database or Redis are away, too many; None: that is not why."""
    refusal = _as_domain_error(error) if isinstance(error, Exception) else None
    return refused(request, refusal) if isinstance(refusal, Unavailable | TooManyRequests) else None


def refused(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    """Answer a refusal in the shape of the API there and as a page elsewhere."""
    response: HttpResponse
    if request.path_info.startswith(API_PREFIX):
        response = JsonResponse(body_of(refusal), status=refusal.status)
    elif isinstance(refusal, TooManyRequests):
        response = over_limit(request, refusal)
    else:
        page = "503.html" if isinstance(refusal, Unavailable) else "refused.html"
        response = render(request, page, {"refusal": refusal}, status=refusal.status)
    if isinstance(refusal, Unavailable | TooManyRequests):
        response["Retry-After"] = str(refusal.retry_after_s)
    _is_an_answer(response)
    return response


@csrf_exempt
def unknown_address(request: HttpRequest) -> JsonResponse:
    """The last route under /api/."""
    return JsonResponse({"code": "not_found", "message": str(_("There is nothing at this address."))}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500`: a fault of ours, in the shape of the API there and as the page elsewhere."""
    response = come_back(request, sys.exc_info()[1])
    if response is not None:
        return response
    if request.path_info.startswith(API_PREFIX):
        message = str(_("Something went wrong on our side. It has been logged."))
        return JsonResponse({"code": "server.error", "message": message}, status=500)
    return defaults.server_error(request)


# Sign-in


class BearerAuthentication(JWTTokenAuthentication):
    """`Authorization: Bearer <access token>`; the token's session and its user are looked up on every request."""

    def authenticate_credentials(self, key: str) -> tuple[User, dict[str, Any]]:
        user, payload = super().authenticate_credentials(key)
        if not user.is_active:
            raise exceptions.AuthenticationFailed()
        return user, payload


# Limits


class UserThrottle(throttling.BaseThrottle):
    """So many requests a minute for one user, whatever they signed in with. Nobody signed in is not counted here."""

    def __init__(self) -> None:
        self._wait_s: int | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.user.pk is None:
            return True
        self._wait_s = limits.wait_s("api", request.user.pk, ServiceSettings.current().api_per_min)
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
    """The body's validated fields.

    Raises:
        rest_framework.exceptions.ValidationError: answered as `input.invalid` with `fields`.
    """
    bound = serializer(data=request.data)
    bound.is_valid(raise_exception=True)
    validated: dict[str, Any] = bound.validated_data
    return validated


_BOUND = re.compile(r"^Expected `(?:int|float)` (?P<sign>[<>]=?) (?P<limit>-?[\d.]+)$")
_BOUNDS = {
    ">=": _("At least %(limit)s."),
    "<=": _("At most %(limit)s."),
    ">": _("More than %(limit)s."),
    "<": _("Less than %(limit)s."),
}


def read_struct(request: Request, kind: type[T]) -> T:
    """The body as a struct of the event contract, by the same rules as over a socket.

    Raises:
        InvalidInput: names the first field that is wrong.
    """
    try:
        return msgspec.convert(request.data, kind)
    except msgspec.ValidationError as error:
        misfit = Misfit.of(error)
        # Which member of an object it was is not said.
        path = re.sub(r"\[(\d+)\]", r".\1", misfit.path.replace("[...]", ""))
        message: Text = _("This is not what it should be.")
        if misfit.missing:
            path, message = f"{path}.{misfit.missing}", _("This field is required.")
        elif bound := _BOUND.search(misfit.words):
            message = _BOUNDS[bound["sign"]] % {"limit": bound["limit"].removesuffix(".0")}
        raise InvalidInput("input.invalid", INVALID, {path.lstrip(".") or "body": [message]}) from error


class StringField(serializers.CharField):
    """A string, not a number that could be written as one."""

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

    default_error_messages = {"naive": _("Give the offset from UTC, such as 2030-05-01T09:00:00+05:00.")}

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
        return self.enforce_timezone(parsed)


# Lists


class NewestFirst(pagination.CursorPagination):
    """Pages by the row's id, newest first: stable while rows are added, and one query however deep."""

    ordering = "-pk"
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100

    def get_page_size(self, request: Request) -> int:
        """Raises InvalidInput for what is no number of rows; more than `max_page_size` gives that many."""
        asked = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not re.fullmatch(r"[1-9][0-9]{0,8}", asked):
            raise InvalidInput("input.invalid", INVALID, {self.page_size_query_param: [_("A number from 1 on.")]})
        return min(int(asked), self.max_page_size)

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
        return InvalidInput("input.invalid", INVALID, {"cursor": [_("Not a cursor that this list gave out.")]})
