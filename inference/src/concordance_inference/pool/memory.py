"""How models share the memory for weights and caches. Numbers only."""

from concordance_shared import RequestError
from msgspec import Struct

from concordance_inference.generation import ModelInfo

#: Every model gets at least this fraction of the memory that its weights leave, even if not all
#: models then fit at the same time.
_LEAST_SHARE = 1 / 8


class ModelFacts(Struct, frozen=True, kw_only=True):
    """What is known of a model before it is loaded."""

    base_bytes: int = 0  # of the weights without the adapter; 0 if unknown
    adapter_bytes: int = 0
    info: ModelInfo | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return self.base_bytes + self.adapter_bytes


class ModelTooLargeError(RequestError):
    """A model does not fit into the memory for models, even alone."""

    code = "model_too_large"


class MemoryBudget(Struct, frozen=True, kw_only=True):
    """The memory for the weights and the caches of all models, in bytes."""

    total: int
    kv_bytes: int | None = None  # for the caches of each model, if the operator chose it

    def cache_bytes(self, name: str, weights: int, *, of_all: int, num_models: int) -> int:
        """Return the memory for the caches of a model.

        If the operator did not choose it: an equal share of what the weights of all models leave.

        Args:
            name: The model.
            weights: Bytes of its weights.
            of_all: Bytes of the weights of all models, those that models share once.
            num_models: The number of models.

        Raises:
            ModelTooLargeError: The model does not fit, even alone.
        """
        left = self.total - weights
        if left < max(self.kv_bytes or 0, 1):
            caches = f" and {in_gb(self.kv_bytes)} for its caches" if self.kv_bytes else ""
            raise ModelTooLargeError(
                f"the model {name!r} needs {in_gb(weights)} for its weights{caches}; the models of "
                f"this server may use {in_gb(self.total)} (--model-memory)",
                param="model",
            )
        if self.kv_bytes is not None:
            return self.kv_bytes
        return max((self.total - of_all) // num_models, int(left * _LEAST_SHARE))


def in_gb(num_bytes: int | None) -> str:
    """Return a size in GB, as messages show it."""
    return f"{(num_bytes or 0) / 1e9:.3g} GB"
