"""What the routes share. Made once per application."""

import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request

from concordance_inference.branching.tree import BranchTree
from concordance_inference.chat.truncation import Truncation
from concordance_inference.loop_detection import USUAL, LoopDetection
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.access.access import Access
from concordance_inference.server.access.upload_rate import UploadRate
from concordance_inference.server.control.running_requests import RunningRequests
from concordance_inference.server.limits import Limits
from concordance_inference.server.openai.reasoning_names import ReasoningField
from concordance_inference.server.responses.background import BackgroundRuns
from concordance_inference.server.responses.response_store import ResponseStore
from concordance_inference.server.served_models import (
    ModelNotLoadedError,
    ServedModel,
    ServedModels,
)
from concordance_inference.server.startup import Startup
from concordance_inference.server.work import Workers
from concordance_inference.traces.hub import TraceHub

Result = TypeVar("Result")


class ServerContext(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The models, the mods and the background threads of an application."""

    models: ServedModels
    mods: ModCatalog
    hosts: frozenset[str] = frozenset()  # its addresses besides the usual loopback names
    listens_on_all: bool = False  # addresses of the machine
    cors_origins: frozenset[str] = frozenset()  # of pages that may use it
    access: Access = msgspec.field(default_factory=Access)
    limits: Limits = Limits()
    upload_rate: UploadRate = msgspec.field(default_factory=UploadRate)
    sends_tracebacks: bool = False  # of the operator's mods, to clients
    reasoning_field: ReasoningField = "both"  # the fields of messages that have the reasoning
    loop_detection: LoopDetection = USUAL  # of requests that do not choose
    truncation: Truncation = "disabled"  # of conversations in requests that do not choose
    workers: Workers = msgspec.field(default_factory=Workers)
    responses: ResponseStore = msgspec.field(default_factory=ResponseStore)
    background: BackgroundRuns = msgspec.field(default_factory=BackgroundRuns)
    draining: threading.Event = msgspec.field(default_factory=threading.Event)  # set by a signal
    startup: Startup = msgspec.field(default_factory=Startup)
    running: RunningRequests = msgspec.field(default_factory=RunningRequests)
    branches: BranchTree = msgspec.field(default_factory=BranchTree)
    traces: TraceHub = msgspec.field(default_factory=TraceHub)

    async def read(self, function: Callable[[], Result], *, num_bytes: int) -> Result:
        """Run a function that decodes a request of `num_bytes`, on a background thread.

        If the request names a model that is not loaded (`ServedModels.named`), the model is loaded
        and the function runs again. Cancelling waits for the function.

        Raises:
            ConcordanceError: The function raised, or the model cannot be loaded.
            EngineOverloadedError: Too many requests are waiting.
        """
        while True:
            try:
                return await self.workers.read(function, num_bytes=num_bytes)
            except ModelNotLoadedError as exc:
                name = exc.name
            await self.models.load(name)

    async def model(self, name: str | None) -> ServedModel:
        """Return the model that a request names, loaded if needed.

        Raises:
            UnknownModelError: There is no such model.
            ConcordanceError: It cannot be loaded.
            EngineOverloadedError: Too many requests are waiting.
        """
        while True:
            try:
                return await self.workers.look_up(lambda: self.models.named(name))
            except ModelNotLoadedError as exc:
                missing = exc.name
            await self.models.load(missing)


def context_of(request: Request) -> ServerContext:
    """The context of the application that serves a request."""
    context = request.app.state.context
    assert isinstance(context, ServerContext)
    return context
