"""The models of a server, as its sandbox knows them: one for each tokenizer."""

import itertools
import logging
import threading
from weakref import WeakKeyDictionary

from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.tokenizer import Tokenizer
from concordance_shared import SandboxUnavailableError

from concordance_inference.sandbox.models import SandboxModel, sandbox_model
from concordance_inference.sandbox.pool import WorkerPool
from concordance_inference.sandbox.requests import NO_MODEL

logger = logging.getLogger(__name__)


class ServedModels:
    """The tokenizers that workers know. Thread-safe."""

    def __init__(self, pool: WorkerPool) -> None:
        """Start with the model of workers that only describe a mod.

        Args:
            pool: Its workers get the models.
        """
        self._pool = pool
        self._errors: dict[str, str] = {}  # id -> why workers cannot load it
        self._ids: WeakKeyDictionary[Tokenizer, str] = WeakKeyDictionary()
        self._users: WeakKeyDictionary[Tokenizer, int] = WeakKeyDictionary()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.add(sandbox_model(NO_MODEL, ByteTokenizer(), width=257))

    def add(self, model: SandboxModel) -> None:
        """Let workers work for a model, also after a restart of the zygote.

        Raises:
            SandboxUnavailableError: The zygote cannot be sent the tokenizer.
        """
        self._errors[model.id] = ""
        try:
            self._pool.add_model(model)
        except OSError as exc:
            del self._errors[model.id]
            raise SandboxUnavailableError(
                f"uploaded mods cannot run with this model: workers cannot be sent its tokenizer: "
                f"{exc}"
            ) from exc

    def id_of(self, tokenizer: Tokenizer, *, width: int) -> str:
        """Return the id of a model, which is added if workers do not know it.

        Args:
            tokenizer: The model's tokenizer, the same object each time.
            width: Width of its logits.

        Raises:
            SandboxUnavailableError: Workers cannot load such a tokenizer.
        """
        with self._lock:
            if (known := self._ids.get(tokenizer)) is not None:
                return known
            name = f"model-{next(self._numbers)}"
            try:
                self.add(sandbox_model(name, tokenizer, width=width))
            except ValueError as exc:
                raise SandboxUnavailableError(f"uploaded mods cannot run: {exc}") from exc
            self._ids[tokenizer] = name
            return name

    def serve(self, tokenizer: Tokenizer, *, width: int) -> None:
        """Give the tokenizer of a loaded model to workers before the first request needs it.

        Args:
            tokenizer: The tokenizer, which models with the same weights share.
            width: Width of the model's logits.
        """
        with self._lock:
            self._users[tokenizer] = self._users.get(tokenizer, 0) + 1
        try:
            self.id_of(tokenizer, width=width)
        except SandboxUnavailableError as exc:  # requests with uploaded mods get it
            logger.warning("%s", exc.message)

    def release(self, tokenizer: Tokenizer) -> None:
        """Free a tokenizer once all models that have it are unloaded."""
        with self._lock:
            users = self._users.get(tokenizer, 0) - 1
            if users > 0:
                self._users[tokenizer] = users
                return
            self._users.pop(tokenizer, None)
            name = self._ids.pop(tokenizer, None)
        if name is not None:
            self._errors.pop(name, None)
            self._pool.remove_model(name)

    def check(self, model: str) -> None:
        """Refuse a model whose tokenizer workers cannot load.

        Raises:
            SandboxUnavailableError: They cannot, or do not know it.
        """
        if error := self._errors.get(model, "it is not known to the sandbox"):
            raise SandboxUnavailableError(f"uploaded mods cannot run with model {model!r}: {error}")

    def loaded(self, model: str, error: str) -> None:
        """Record that the zygote has loaded a tokenizer, or why it cannot."""
        if model in self._errors:  # it may be released already
            self._errors[model] = error
        if error:
            logger.error("workers cannot load the tokenizer of %r: %s", model, error)
