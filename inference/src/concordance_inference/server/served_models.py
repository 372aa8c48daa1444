"""The models of a server, by the names that requests give them."""

from collections.abc import Collection, Sequence
from typing import ClassVar, Literal, Protocol

from concordance_shared import ConflictError, EngineError
from msgspec import Struct

from concordance_inference.chat.format import ChatFormat
from concordance_inference.generation import EmbeddingClient, EngineClient, ModelInfo
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.server.model_name import parse_model, unknown_model


class ServedModel(Struct, frozen=True, kw_only=True, eq=False):
    """A loaded model, as the requests that name it use it."""

    engine: EngineClient
    chat: ChatFormat
    mods: tuple[NamedMod, ...] = ()  # that the model string of the request names
    embedder: EmbeddingClient | None = None  # of a model that is made for embeddings
    no_embedder: str = "it is no embedding model"  # why there is none

    @property
    def info(self) -> ModelInfo:
        """The model's name, sizes and sampling defaults."""
        return self.engine.model


class ModelCard(Struct, frozen=True, kw_only=True):
    """A model of the server, as `GET /v1/models` describes it."""

    name: str
    status: Literal["loaded", "loading", "unloaded"] = "loaded"
    info: ModelInfo | None = None  # `None` until the model has been loaded
    aliases: tuple[str, ...] = ()
    parent: str | None = None  # the model that it is with an adapter
    adapters: tuple[str, ...] = ()  # the models that are this one with an adapter
    memory_bytes: int | None = None  # of weights and caches, if it is loaded and they are known
    num_requests: int = 0  # that use it or wait for it


class ModelNotLoadedError(EngineError):
    """The model of a request has to be loaded first, which `ServerContext.read` does."""

    status_code: ClassVar[int] = 503
    type: ClassVar[str] = "overloaded"
    code: ClassVar[str] = "model_not_loaded"

    def __init__(self, name: str) -> None:
        """Keep the name of the model."""
        super().__init__(f"the model {name!r} is not loaded; try again", param="model")
        self.name = name


class ServedModels(Protocol):
    """The models of a server. A model may be loaded when a request names it."""

    @property
    def names(self) -> Collection[str]:
        """The names of all models, the default first."""
        ...

    @property
    def loaded(self) -> Sequence[ServedModel]:
        """The models that are loaded."""
        ...

    def cards(self) -> Sequence[ModelCard]:
        """Describe all models, the default first."""
        ...

    def look_again(self) -> bool:
        """Add the models that were stored since the start; True if there are new ones. Blocks."""
        ...

    def named(self, model: str | None) -> ServedModel:
        """Return the model that a request names; thread-safe. May block.

        Args:
            model: The model string of the request; `None` for the default model.

        Raises:
            UnknownModelError: There is no such model.
            ModelNotLoadedError: It is not loaded.
        """
        ...

    async def load(self, name: str) -> None:
        """Load a model unless it is loaded.

        Raises:
            ConcordanceError: It cannot be loaded.
        """
        ...

    async def unload(self, name: str) -> None:
        """Free the memory of a model, which is loaded again when a request names it.

        Raises:
            ConcordanceError: There is no such model, it is in use, or it stays loaded.
        """
        ...


class OneModel:
    """A server's only model, which is always loaded."""

    def __init__(self, engine: EngineClient, chat: ChatFormat) -> None:
        """Serve an engine with its chat format."""
        self._served = ServedModel(engine=engine, chat=chat)

    @property
    def names(self) -> Collection[str]:
        """The name of the model."""
        return (self._served.info.id,)

    @property
    def loaded(self) -> Sequence[ServedModel]:
        """The model."""
        return (self._served,)

    def cards(self) -> Sequence[ModelCard]:
        """Describe the model."""
        return (ModelCard(name=self._served.info.id, info=self._served.info),)

    def look_again(self) -> bool:
        """Return False: there is no other model."""
        return False

    def named(self, model: str | None) -> ServedModel:
        """Return the model.

        Raises:
            UnknownModelError: The request names another one.
        """
        served = self._served
        if model is None or model == served.info.id:
            return served
        _, mods = parse_model(model, self.names)
        return ServedModel(engine=served.engine, chat=served.chat, mods=mods)

    async def load(self, name: str) -> None:
        """Refuse to load another model.

        Raises:
            UnknownModelError: It is another one.
        """
        if name not in self.names:
            raise unknown_model(name, self.names)

    async def unload(self, name: str) -> None:
        """Refuse to unload the only model.

        Raises:
            ConflictError: Always, unless it is another model.
        """
        await self.load(name)
        raise ConflictError(f"{name!r} is the only model of this server", param="model")
