"""Who a password belongs to: the account whose own address or phone number was given, nobody else's."""

from allauth.account.auth_backends import AuthenticationBackend as AllauthBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from stepper.db.prepared import PreparedQuery
from stepper.models import User

_user = PreparedQuery(lambda user_id: User.objects.filter(pk=user_id))


class AuthenticationBackend(AllauthBackend):
    """allauth's, without its table of aliases: a row there neither signs in nor hides whose address it is."""

    def authenticate(self, request: HttpRequest | None, **credentials: object) -> User:
        """Raise PermissionDenied where the credentials are wrong, so that no further backend is asked."""
        user = super().authenticate(request, **credentials)
        if not isinstance(user, User):
            raise PermissionDenied
        return user

    def _authenticate_by_email(self, email: str, password: str) -> User | None:
        user: User | None = self._check_password(User.by_email(email), password)
        return user

    def get_user(self, user_id: int) -> User | None:
        """Return who is signed in: of each request of theirs the first query."""
        user = _user.first(user_id)
        return user if user is not None and self.user_can_authenticate(user) else None
