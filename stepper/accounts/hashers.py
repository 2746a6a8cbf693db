"""Password hashing."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with the parameters of the OWASP password storage cheat sheet: 19 MiB, two passes, one lane.

    Django's defaults (100 MiB, eight lanes) cost a small server's whole machine for each sign-in.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1
