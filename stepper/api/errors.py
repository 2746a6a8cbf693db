"""The one shape of errors: which refusal an exception means, and how REST and pages answer it."""

import logging
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.response import Response

from stepper import limits
from stepper.accounts.language import activate_guests
from stepper.errors import (
    DomainError,
    InvalidFields,
    InvalidInput,
    NotFound,
    NotPermitted,
    NotSignedIn,
    Text,
    TooManyRequests,
    Unavailable,
)
from stepper.monitoring import figures
from stepper.web import refusals

logger = logging.getLogger("stepper.api.base")


API_PREFIX = "/api/"
_INVALID = _("What was sent is not valid: see fields.")


# Errors


class ProtocolError(DomainError):
    """A refusal of the protocol, not of the domain: wrong verb, wrong content type, too large."""

    def __init__(self, status: int, code: str, message: Text) -> None:
        super().__init__(code, message)
        self.status = status


def _flatten(detail: Any, path: str = "") -> Iterator[tuple[str, list[Text]]]:
    """Yield a serializer's nested errors as (dotted path, messages); what concerns the whole body is under "body"."""
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
    """Translate an exception of the framework into a refusal; None: it is a fault."""
    match error:
        case DomainError():
            return error
        case exceptions.ValidationError():
            detail = error.detail
            return InvalidFields(dict(_flatten(detail)))
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
            return limits.too_many(retry_after_s)
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


def error_body(error: DomainError) -> dict[str, Any]:
    # Pages mark the fields, JSON marks nothing.
    message = _INVALID if isinstance(error, InvalidFields) else error.message_with_contact
    body: dict[str, Any] = {"code": error.code, "message": str(message), **error.details}
    if error.fields:
        body["fields"] = {path: [str(message) for message in messages] for path, messages in error.fields.items()}
    return body


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer every refusal in the one shape; None leaves a fault to Django, which logs it and answers 500."""
    refusal = _as_domain_error(error)
    if refusal is None:
        return None
    figures.count_refusal(refusal)
    headers = {}
    if isinstance(refusal, NotSignedIn):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(refusal, TooManyRequests | Unavailable):
        headers["Retry-After"] = str(refusal.retry_after_s)
    response = Response(error_body(refusal), status=refusal.status, headers=headers)
    _mark_as_answer(response)
    return response


def _mark_as_answer(response: HttpResponse) -> None:
    """Keep Django from logging a 503 as a fault of ours; what is away has been logged."""
    response._has_been_logged = True  # type: ignore[attr-defined]


def refuse_for_now(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """Answer a request that was refused for now: database or Redis are away, too many; None: that is not why."""
    refusal = _as_domain_error(error) if isinstance(error, Exception) else None
    return refusal_response(request, refusal) if isinstance(refusal, Unavailable | TooManyRequests) else None


def refusal_response(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    """Answer a refusal in the shape of the API there and as a page elsewhere."""
    figures.count_refusal(refusal)
    response: HttpResponse
    if request.path_info.startswith(API_PREFIX):
        response = JsonResponse(error_body(refusal), status=refusal.status)
    elif isinstance(refusal, TooManyRequests):
        response = refusals.over_limit(request, refusal)
    else:
        page = "503.html" if isinstance(refusal, Unavailable) else "refused.html"
        response = render(request, page, {"refusal": refusal}, status=refusal.status)
    if isinstance(refusal, Unavailable | TooManyRequests):
        response["Retry-After"] = str(refusal.retry_after_s)
    _mark_as_answer(response)
    return response


@csrf_exempt
def unknown_address(request: HttpRequest) -> JsonResponse:
    """Answer 404 for an address under /api/ that no other route has."""
    return JsonResponse({"code": "not_found", "message": str(_("There is nothing at this address."))}, status=404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django itself refuses (`handler400`), in the shape of the API there and as the page elsewhere."""
    if not hasattr(request, "LANGUAGE_CODE"):
        # Refused before its language was found.
        activate_guests(request)
    if request.path_info.startswith(API_PREFIX):
        message = str(_("The request is malformed, or its Host header is not an address of this server."))
        return JsonResponse({"code": "request.malformed", "message": message}, status=400)
    return refusals.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a fault of ours (`handler500`), in the shape of the API there and as the page elsewhere."""
    response = refuse_for_now(request, sys.exc_info()[1])
    if response is not None:
        return response
    if request.path_info.startswith(API_PREFIX):
        message = str(_("Something went wrong on our side. It has been logged."))
        return JsonResponse({"code": "server.error", "message": message}, status=500)
    return refusals.server_error(request)
