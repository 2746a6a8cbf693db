"""One's own data over REST."""

from django.http import HttpResponse
from rest_framework.response import Response
from rest_framework.views import APIView

from stepper.api.base import ApiRequest
from stepper.api.sessions import session_of
from stepper.personal.erasure import erase_account
from stepper.personal.export import export_account


class ExportView(APIView):
    def post(self, request: ApiRequest) -> HttpResponse:
        """Answer everything that is held about the account. A POST: it is counted and logged."""
        content = export_account(request.user, session_of(request))
        return HttpResponse(content, content_type="application/json", headers={"Cache-Control": "no-store, private"})


class EraseView(APIView):
    def post(self, request: ApiRequest) -> Response:
        """Erase the account; its tokens are worth nothing afterwards."""
        erase_account(request.user, session_of(request))
        return Response(status=204)
