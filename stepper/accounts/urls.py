"""The pages of allauth that are in use; none of its others is routed.

Its pages for addresses, phones, codes and re-authentication would change an account past `stepper.accounts.addresses`.
"""

from allauth.account import views
from django.urls import path, re_path

from stepper.accounts.code_stage import enter_code
from stepper.accounts.password_pages import PasswordChangeView, needs_mail
from stepper.accounts.views import LoginView, logout

urlpatterns = [
    path("signup/", views.signup, name="account_signup"),
    path("login/", LoginView.as_view(), name="account_login"),
    path("login/second-step/", enter_code, name="mfa_authenticate"),
    path("logout/", logout, name="account_logout"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("password/change/", PasswordChangeView.as_view(), name="account_change_password"),
    path("password/reset/", needs_mail(views.password_reset), name="account_reset_password"),
    path("password/reset/done/", needs_mail(views.password_reset_done), name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        needs_mail(views.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        needs_mail(views.password_reset_from_key_done),
        name="account_reset_password_from_key_done",
    ),
]
