"""Keeps the models of a request loaded while it runs."""

from contextvars import ContextVar
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send


class Held(Protocol):
    """Something that a request can hold."""

    def hold(self) -> None:
        """Count a request more."""
        ...

    def release(self) -> None:
        """Count a request less."""
        ...


class ModelUse:
    """The models that one request holds. Worker threads of the request share it."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: list[Held] = []

    def holds(self, model: Held) -> bool:
        """True if the request holds a model."""
        return model in self._held

    def add(self, model: Held) -> None:
        """Hold a model until the request ends."""
        if model not in self._held:
            model.hold()
            self._held.append(model)

    def copy(self) -> "ModelUse":
        """Hold the same models for longer: until the copy is closed as well."""
        use = ModelUse()
        for model in self._held:
            use.add(model)
        return use

    def close(self) -> None:
        """Release all models."""
        for model in self._held:
            model.release()
        self._held.clear()


_USE: ContextVar[ModelUse | None] = ContextVar("model_use", default=None)


def current_use() -> ModelUse | None:
    """Return the models that the present request holds; `None` outside of a request."""
    return _USE.get()


class HoldModels:
    """Releases the models of a request when its response is complete."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        use = ModelUse()
        token = _USE.set(use)
        try:
            await self._app(scope, receive, send)
        finally:
            _USE.reset(token)
            use.close()
