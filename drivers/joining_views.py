"""The page on which somebody applies as a driver, step by step, and the pictures of documents.

Each step is a form of its own, kept when it is sent; the page opens at the first step that is not complete.
"""

from typing import cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from stepper.accounts.confirmation import ConfirmationRequired, NothingToConfirmWith
from stepper.errors import DomainError, NotFound, TooManyRequests
from stepper.web.refusals import add_refusal, over_limit, with_retry_after
from stepper.web.requests import SignedInRequest

from . import documents, joining, settings_views
from .joining_forms import (
    ConsentForm,
    DocumentForm,
    PersonForm,
    VehicleForm,
    document_forms,
)
from .models import DocumentKind, Driver
from .papers import STEP_LABELS, STEPS, Papers, Step


@never_cache
@require_safe
@login_required
def apply(request: SignedInRequest) -> HttpResponse:
    """Show the application at one step, by default at the first that is not complete."""
    wanted = request.GET.get("step", "")
    return render_page(request, Papers(request.user.pk), wanted if wanted in STEPS else None)


def render_page(
    request: SignedInRequest,
    papers: Papers,
    step: Step | None = None,
    *,
    form: forms.Form | None = None,
    sent: DocumentForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """Draw the page. `form`: the step's, with its errors. `sent`: that of a document that was refused."""
    shown = step or papers.first_open_step
    context = {
        "papers": papers,
        "step": shown,
        "steps": [(name, STEP_LABELS[name]) for name in STEPS],
        "number": STEPS.index(shown) + 1,
        "is_open": papers.state in {"draft", "rejected"},
        "form": form or _form_of(request, papers, shown),
        "document_forms": document_forms(papers, sent),
    }
    return render(request, "drivers/apply.html", context, status=status)


def _form_of(request: SignedInRequest, papers: Papers, step: Step) -> forms.Form | None:
    data = request.POST if request.method == "POST" else None
    match step:
        case "person":
            return PersonForm(request.user, papers.application, data)
        case "vehicle":
            return VehicleForm(papers.application, data)
        case "consent":
            return ConsentForm(data)
        case "documents":
            return None


@require_POST
@login_required
def save_step(request: SignedInRequest, step: str) -> HttpResponse:
    """Keep what one step asks, and lead to the next that is not complete; the last one sends the application."""
    if step not in ("person", "vehicle", "consent"):
        raise Http404
    known = cast(Step, step)
    papers = Papers(request.user.pk)
    form = _form_of(request, papers, known)
    if form is not None and form.is_valid():
        try:
            _keep(request, known, form)
        except (ConfirmationRequired, NothingToConfirmWith):
            # The middleware leads to the page that asks for the password, and back.
            raise
        except TooManyRequests as error:
            return over_limit(request, error)
        except DomainError as error:
            add_refusal(form, error)
        else:
            return redirect("joining:apply")
    return render_page(request, papers, known, form=form, status=422)


def _keep(request: SignedInRequest, step: Step, form: forms.Form) -> None:
    entered = form.cleaned_data
    if step == "person":
        phone = entered.get("phone")
        joining.save_person(
            request.user,
            request.session,
            name=entered["name"],
            phone=phone,
            licence_number=entered["licence_number"],
        )
    elif step == "vehicle":
        joining.save_vehicle(request.user, entered)
    else:
        joining.submit(request.user)


@require_POST
@login_required
def send_document(request: SignedInRequest, kind: str) -> HttpResponse:
    """Keep a picture of a document, and lead back to the page that it was sent from."""
    if kind not in DocumentKind.values:
        raise Http404
    mine = Driver.objects.select_related("user", "vehicle").filter(user=request.user)
    driver = mine.first() if request.POST.get("sent_from") == "settings" else None
    form = DocumentForm(kind, request.POST, request.FILES, expires=kind != DocumentKind.PHOTO)
    refusal: DomainError | None = None
    if form.is_valid():
        try:
            documents.send_document(request.user, kind, form.picture, form.expires_on_entered)
        except TooManyRequests as error:
            return over_limit(request, error)
        except DomainError as error:
            refusal = error
            add_refusal(form, error)
        else:
            messages.success(request, _("Sent."))
            if driver is not None:
                return redirect("drivers:settings")
            # A card that is drawn anew by itself stays among the others, also when it was the last that was missing.
            step = {"step": "documents"} if request.htmx else {}
            return redirect(reverse("joining:apply", query=step))
    if driver is not None:
        response = settings_views.render_page(request, driver, sent=form, status=422)
    else:
        response = render_page(request, Papers(request.user.pk), "documents", sent=form, status=422)
    return with_retry_after(response, refusal)


@never_cache
@require_safe
@login_required
def picture(request: SignedInRequest, document_id: int) -> HttpResponse:
    """Answer the picture of a document, which is always a JPEG of our own."""
    try:
        row = documents.find_document(request.user, document_id)
    except NotFound as error:
        raise Http404 from error
    response = HttpResponse(bytes(row.content), content_type="image/jpeg")
    response["Content-Disposition"] = f'inline; filename="{row.kind}.jpg"'
    return response
