"""The middleware that refuses every request of a caller that the server does not know."""

from collections.abc import Sequence
from typing import Any

from concordance_shared import RequestError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from concordance_inference import caller as callers
from concordance_inference.caller import Caller, current_caller, set_caller
from concordance_inference.server.access.access import Access, lacks_scope
from concordance_inference.server.operations.request_record import current_record
from concordance_inference.server.transport.errors import error_response
from concordance_inference.server.transport.request_id import own_ids

#: The routes that respond without a key, and then say nothing but their status.
OPEN = frozenset({"/healthz", "/readyz"})

#: Headers with keys. Nothing after this middleware sees them.
SECRET_HEADERS = frozenset({b"authorization", b"x-api-key"})

#: Where the scope of ASGI has the rules, and what was presented.
_ACCESS, _HAS_WRONG_KEY = "concordance.access", "concordance.has_wrong_key"

#: Who asks for an open route without a key.
_ANONYMOUS = Caller(scopes=frozenset(), sees_all=False)

#: Who asks for a page without a key, where that is allowed.
_READER = Caller(scopes=frozenset({"page"}), sees_all=False)

_PAGES = ("/inspector/", "/docs/")


class Authentication:
    """Finds out who a request is for, and refuses it unless a known caller has sent it.

    This comes before everything that depends on the path: a caller without a key does not learn
    which routes there are.
    """

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        """Guard an application."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request for its caller, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":  # the server has no other kind of route
            await self._forward(scope, receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        secrets = presented_keys(Headers(scope=scope))
        caller = self._access.caller(secrets)
        if caller is None:
            error = self._access.refusal(_address(scope), has_key=bool(secrets))
            caller = self._without_key(scope)
            if caller is None:
                await error_response(error, headers=_challenge(error))(scope, receive, send)
                return
        set_caller(caller)
        current_record().key = caller.key_id
        own_ids(caller.owner)
        known: dict[str, Any] = {"headers": _without_keys(scope), _ACCESS: self._access}
        known[_HAS_WRONG_KEY] = bool(secrets) and caller.key_id is None
        scope.update(known)  # in place: the router notes its route there, for the log
        await self._app(scope, receive, send)

    def _without_key(self, scope: Scope) -> Caller | None:
        """Who a request is for that needs no key."""
        path = scope["path"]
        if path in OPEN:
            return _ANONYMOUS
        is_page = path in ("/", "/docs") or path.startswith(_PAGES)
        return _READER if is_page and self._access.shows_pages else None


def presented_keys(headers: Headers) -> Sequence[str]:
    """Return the keys that a request has, as clients of both APIs send them."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return [key for key in (bearer, headers.get("x-api-key", "").strip()) if key]


def check_scope(scope: Scope, needed: callers.Scope) -> None:
    """Refuse a request whose caller may not do what a route does.

    Args:
        scope: The request.
        needed: The scope of the route.

    Raises:
        RequestError: The caller lacks it.
    """
    caller = current_caller()
    if needed in caller.scopes:
        return
    access: Access | None = scope.get(_ACCESS)
    if caller.key_id is not None or access is None:
        raise lacks_scope(caller, needed)
    raise access.refusal(_address(scope), has_key=scope[_HAS_WRONG_KEY])


def _challenge(error: RequestError) -> dict[str, str] | None:
    return {"WWW-Authenticate": "Bearer"} if error.status_code == 401 else None


def _address(scope: Scope) -> str:
    return (scope.get("client") or ("",))[0]


def _without_keys(scope: Scope) -> list[Any]:
    return [each for each in scope["headers"] if each[0] not in SECRET_HEADERS]
