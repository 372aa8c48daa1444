"""Lets pages of other origins use the server: none, unless the operator names them."""

from collections.abc import Collection

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

#: Headers of responses that a page may read.
_EXPOSED = ("X-Request-Id", "Request-Id", "Retry-After")

#: Seconds for which a browser remembers what it may send.
_MAX_AGE_S = 600


def cors(origins: Collection[str]) -> list[Middleware]:
    """Return what responds to preflights, and marks responses; nothing without origins.

    A page still needs a key: its browser sends none by itself, and no cookies are used.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=sorted(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
            max_age=_MAX_AGE_S,
        )
    ]
