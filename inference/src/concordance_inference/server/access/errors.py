"""Refusals of callers that the server does not know."""

from typing import ClassVar

from concordance_shared import RequestError


class AuthenticationError(RequestError):
    """The request has no valid key."""

    status_code: ClassVar[int] = 401
    type: ClassVar[str] = "authentication_error"
    code: ClassVar[str] = "invalid_api_key"


class TooManyAttemptsError(RequestError):
    """An address has sent too many invalid keys.

    Attributes:
        retry_after_s: Seconds until it may try again.
    """

    status_code: ClassVar[int] = 429
    type: ClassVar[str] = "rate_limit_error"
    code: ClassVar[str] = "rate_limit_exceeded"

    def __init__(self, num_attempts: int, retry_after_s: float) -> None:
        """Say when the address may try again."""
        super().__init__(
            f"this address has sent {num_attempts} invalid keys within a minute; send a valid one, "
            f"or wait for {retry_after_s:.0f} s"
        )
        self.retry_after_s = retry_after_s
