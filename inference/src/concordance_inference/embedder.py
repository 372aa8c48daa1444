"""Embeddings of texts, where the loaded model is one for it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from concordance_inference.engine.embedding import Embedder
from concordance_inference.engine.model.device import default_chunk
from concordance_inference.engine.thread import EngineThread
from concordance_inference.models.loader import LoadedModel
from concordance_inference.models.pooling import pooling_of
from concordance_inference.models.tokenizer import ModelTokenizer


class TextEmbedder:
    """An embedding model with its tokenizer (`EmbeddingClient`)."""

    def __init__(
        self, embedder: Embedder, tokenizer: ModelTokenizer, *, size: int, prefix: str
    ) -> None:
        """Embed texts.

        Args:
            embedder: Embeds token ids.
            tokenizer: The model's.
            size: The dimensions of an embedding.
            prefix: Text that is put before every text.
        """
        self.size = size
        self._embedder = embedder
        self._tokenizer = tokenizer
        self._prefix = prefix

    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of a text, with those that the tokenizer adds at its ends."""
        return self._tokenizer.encode_whole(self._prefix + text)

    async def embed(self, token_ids: Sequence[int], dimensions: int | None = None) -> list[float]:
        """Return the embedding of a text; see `Embedder.embed`."""
        return await self._embedder.embed(token_ids, dimensions)


def embedder_of(
    loaded: LoadedModel, thread: EngineThread, model: Callable[[], Any]
) -> TextEmbedder | str:
    """Return the embedder of a model; a sentence that says why there is none.

    Args:
        loaded: The model.
        thread: The thread of its engine.
        model: Returns the model on that thread; a restart loads it again.
    """
    pooling = pooling_of(Path(loaded.place))
    if isinstance(pooling, str):
        return pooling
    size = getattr(getattr(loaded.model, "args", None), "hidden_size", None)
    if not hasattr(loaded.model, "model") or not isinstance(size, int):
        return "its architecture in mlx-lm does not give the hidden states of a text"
    embedder = Embedder(
        thread, model, mode=pooling.mode, normalizes=pooling.normalizes, chunk=default_chunk()
    )
    return TextEmbedder(embedder, loaded.tokenizer, size=size, prefix=pooling.prefix)
