"""How models share the memory for weights and caches. Numbers only."""

from collections.abc import Iterable

from concordance_shared import RequestError
from msgspec import Struct

#: Every model gets at least this fraction of the memory that its weights leave, even if not all
#: models then fit at the same time.
_LEAST_SHARE = 1 / 8


class ModelTooLargeError(RequestError):
    """A model does not fit into the memory for models, even alone."""

    code = "model_too_large"


class MemoryBudget(Struct, frozen=True, kw_only=True):
    """The memory for the weights and the caches of all models, in bytes."""

    total: int
    kv_bytes: int | None = None  # for the caches of each model, if the operator chose it

    def cache_bytes(self, name: str, weights: int, all_weights: Iterable[int]) -> int:
        """Return the memory for the caches of a model.

        If the operator did not choose it: an equal share of what the weights of all models leave.

        Args:
            name: The model.
            weights: Bytes of its weights.
            all_weights: Bytes of the weights of every model, this one included.

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
        sizes = list(all_weights)
        return max((self.total - sum(sizes)) // len(sizes), int(left * _LEAST_SHARE))


def in_gb(num_bytes: int | None) -> str:
    """Return a size in GB, as messages show it."""
    return f"{(num_bytes or 0) / 1e9:.3g} GB"
