"""What a mod declares to read of logits, and a view that enforces the declaration.

With a declaration, an engine can copy just that to the host together with the step's other results.
Reading more is an error, which the author's first test finds.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

from concordance_shared import ForwardPass, Logits, UndeclaredLogitsError

#: Nothing, the top `k` logits, or the whole row.
LogitsNeed = int | Literal["none", "full"]


def check_logits_need(need: object) -> str | None:
    """Return what is wrong with a declaration; `None` if it is valid."""
    is_count = isinstance(need, int) and not isinstance(need, bool) and need >= 1
    if need is None or need in ("none", "full") or is_count:
        return None
    return f'logits is "none", "full" or the number of top logits that it reads, not {need!r}'


def held_to(need: LogitsNeed | None, event: ForwardPass, *, mod: str) -> ForwardPass:
    """Return the event with a view of its logits that enforces a declaration.

    Args:
        need: The declaration; `None` for a mod that declared nothing.
        event: The event.
        mod: The mod's name, for messages.
    """
    if need is None or need == "full":
        return event
    top = 0 if need == "none" else need
    return event.with_logits(DeclaredLogits(event, top=top, mod=mod))


class DeclaredLogits:
    """The logits of an event, of which only the top `top` can be read.  (vocab,) float32"""

    def __init__(self, event: ForwardPass, *, top: int, mod: str) -> None:
        """View the logits of an event.

        Args:
            event: The event.
            top: The number of top logits that may be read.
            mod: The name of the mod, for messages.
        """
        self._logits = cast(Logits, event.logits)
        self._step = event.step
        self._top = top
        self._mod = mod

    def __len__(self) -> int:
        return len(self._logits)

    def __getitem__(self, key: Any) -> Any:
        raise self._undeclared(f"[{key!r}]", "full")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # noqa: FBT001
        """Reject numpy's conversion of the whole row."""
        raise self._undeclared("as an array", "full")

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """Return the top `k` pairs `(token_id, logit)`, in descending order.

        Raises:
            UndeclaredLogitsError: `k` is more than was declared.
        """
        if k > self._top:
            raise self._undeclared(f".top_k({k})", k)
        return self._logits.top_k(k)

    def margin(self, k: int = 2) -> float:
        """Return the top logit minus the `k`-th.

        Raises:
            UndeclaredLogitsError: `k` is more than was declared.
        """
        if k > self._top:
            raise self._undeclared(f".margin({k})", k)
        return self._logits.margin(k)

    def logprob(self, token_id: int) -> float:
        """Reject: a probability depends on the whole row.

        Raises:
            UndeclaredLogitsError: Always.
        """
        raise self._undeclared(f".logprob({token_id!r:.40})", "full")

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Reject: probabilities depend on the whole row.

        Raises:
            UndeclaredLogitsError: Always.
        """
        raise self._undeclared(f".logprobs({token_ids!r:.40})", "full")

    def entropy(self) -> float:
        """Reject: entropy needs the whole row.

        Raises:
            UndeclaredLogitsError: Always.
        """
        raise self._undeclared(".entropy()", "full")

    def to_numpy(self) -> Any:
        """Reject: this is the whole row.

        Raises:
            UndeclaredLogitsError: Always.
        """
        raise self._undeclared(".to_numpy()", "full")

    def _undeclared(self, read: str, needed: LogitsNeed) -> UndeclaredLogitsError:
        declared = self._top or "none"
        return UndeclaredLogitsError(
            f"mod {self._mod!r} read logits{read if read[0] in '.[' else ' ' + read} at "
            f"ForwardPass (step {self._step}) but declares logits={declared!r}; declare "
            f"@mod(logits={needed!r}), or nothing to read whatever it likes",
            mod=self._mod,
            event="ForwardPass",
            step=self._step,
        )
