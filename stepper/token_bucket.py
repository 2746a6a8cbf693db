"""Rate limits that cost no query: a token bucket in the memory of this process. Limits for all processes: limits.py."""


class TokenBucket:
    """Allow `burst` events together, and `rate` events a second after that.

    The caller passes the time (time.monotonic()), as it has read the clock already.
    """

    __slots__ = ("burst", "filled_at", "rate", "tokens")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self.burst = burst
        self.rate = rate
        # Tokens left at `filled_at`; negative if `spend` went beyond the limit.
        self.tokens = float(burst)
        self.filled_at = now

    def count(self, now: float) -> float:
        """Return the number of tokens now, without a change."""
        tokens = self.tokens + (now - self.filled_at) * self.rate
        return tokens if tokens < self.burst else self.burst  # noqa: FURB136 - a call less for each frame

    def spend(self, now: float) -> float:
        """Spend a token even if there is none; return the tokens left, negative: the limit was exceeded."""
        self.tokens = left = self.count(now) - 1
        self.filled_at = now
        return left

    def take(self, now: float) -> bool:
        """Spend a token if there is one; return whether there was one."""
        tokens = self.count(now)
        self.filled_at = now
        if tokens < 1:
            self.tokens = tokens
            return False
        self.tokens = tokens - 1
        return True
