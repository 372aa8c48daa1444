"""Computes embeddings on an engine's thread, a chunk of a text between two steps.

So a long text delays the requests that generate by no more than a chunk.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

import mlx.core as mx
from concordance_shared import EngineError
from mlx_lm.models.cache import make_prompt_cache

from concordance_inference.engine.engine import Engine
from concordance_inference.engine.thread import EngineThread

Mode = Literal["cls", "mean", "max", "lasttoken"]


class Embedder:
    """Embeds token ids with the model of an engine, one text at a time."""

    def __init__(
        self,
        thread: EngineThread,
        model: Callable[[], Any],
        *,
        mode: Mode,
        normalizes: bool,
        chunk: int,
    ) -> None:
        """Embed with a model.

        Args:
            thread: The engine's.
            model: Returns the model, on the engine's thread.
            mode: How the hidden states of a text become one vector.
            normalizes: Scale vectors to length 1.
            chunk: The most tokens that are processed between two steps.
        """
        self._thread = thread
        self._model = model
        self._mode: Mode = mode
        self._normalizes = normalizes
        self._chunk = chunk

    async def embed(self, token_ids: Sequence[int], dimensions: int | None = None) -> list[float]:
        """Return the embedding of a text.

        Args:
            token_ids: The text, which is not empty.
            dimensions: Keep this many dimensions; `None` for all.

        Raises:
            EngineError: The engine has stopped, or the model failed.
        """
        text = _Text(self._mode)
        for begin in range(0, len(token_ids), self._chunk):
            part = token_ids[begin : begin + self._chunk]
            await self._on_thread(lambda part=part: text.read(self._model(), part))
        return await self._on_thread(lambda: text.vector(dimensions, normalizes=self._normalizes))

    async def _on_thread(self, function: Callable[[], Any]) -> Any:
        """Run a function between two steps, on the engine's thread."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Any] = loop.create_future()

        def end(value: Any, error: EngineError | None) -> None:
            if result.done():  # the client has left
                return
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

        def run(_: Engine) -> None:
            try:
                value, error = function(), None
            except Exception as exc:
                value, error = None, EngineError(f"embedding failed: {type(exc).__name__}: {exc}")
                error.__cause__ = exc
            loop.call_soon_threadsafe(end, value, error)

        def refuse(error: EngineError) -> None:
            loop.call_soon_threadsafe(end, None, error)

        self._thread.call(run, refuse)
        return await result


class _Text:
    """A text that is read in parts. Used on the engine's thread only."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._caches: list[Any] | None = None
        self._pooled: mx.array | None = None  # (hidden,) float32
        self._num_tokens = 0

    def read(self, model: Any, token_ids: Sequence[int]) -> None:
        """Process the next tokens."""
        if self._caches is None:
            self._caches = make_prompt_cache(model)
        hidden = model.model(mx.array([token_ids]), cache=self._caches)[0].astype(mx.float32)
        self._num_tokens += len(token_ids)
        self._pooled = self._pool(hidden)
        mx.eval(self._pooled, [cache.state for cache in self._caches])

    def _pool(
        self,
        hidden: mx.array,  # (tokens, hidden)
    ) -> mx.array:  # (hidden,)
        before = self._pooled
        if self._mode == "cls":
            return hidden[0] if before is None else before
        if self._mode == "lasttoken":
            return hidden[-1]
        if self._mode == "max":
            most = hidden.max(axis=0)
            return most if before is None else mx.maximum(before, most)
        total = hidden.sum(axis=0)
        return total if before is None else before + total

    def vector(self, dimensions: int | None, *, normalizes: bool) -> list[float]:
        """Return the embedding, and forget the text."""
        assert self._pooled is not None, "read"
        vector = self._pooled / self._num_tokens if self._mode == "mean" else self._pooled
        vector = vector[:dimensions]
        if normalizes or dimensions is not None:
            vector = vector / mx.maximum(mx.linalg.norm(vector), 1e-12)
        self._pooled = self._caches = None
        values: Any = vector.tolist()
        return values
