"""What a mod declared to read of logits, and the view that holds it to it.

A mod that says in advance what it reads lets an engine bring just that to the host together with
the step's other results. So what it did not declare, it cannot read: found in the author's first
test, not in the slow log of a server.
"""

from typing import Any, Literal, cast

from concordance_shared import ForwardPass, Logits, UndeclaredLogitsError

#: Nothing, so many of the best scores, or the whole row.
LogitsNeed = int | Literal["none", "full"]


def check_logits_need(need: object) -> str | None:
    """What is wrong with a declared need; `None` if nothing is."""
    is_count = isinstance(need, int) and not isinstance(need, bool) and need >= 1
    if need is None or need in ("none", "full") or is_count:
        return None
    return f'logits is "none", "full" or how many of the best scores it reads, not {need!r}'


def held_to(need: LogitsNeed | None, event: ForwardPass, *, mod: str) -> ForwardPass:
    """The event as a mod that declared a need is given it.

    Args:
        need: What it declared; `None` for a mod that declared nothing.
        event: The event.
        mod: The mod's name, for messages.
    """
    if need is None or need == "full":
        return event
    top = 0 if need == "none" else need
    return event.with_logits(DeclaredLogits(event, top=top, mod=mod))


class DeclaredLogits:
    """The logits of an event, of which only the `top` best scores can be read.  (vocab,) float32"""

    def __init__(self, event: ForwardPass, *, top: int, mod: str) -> None:
        """View the logits of an event.

        Args:
            event: The event.
            top: How many of the best scores may be read.
            mod: The name of the mod that declared it, for messages.
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
        """Numpy's way to the whole row."""
        raise self._undeclared("as an array", "full")

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first.

        Raises:
            UndeclaredLogitsError: It is more than was declared.
        """
        if k > self._top:
            raise self._undeclared(f".top_k({k})", k)
        return self._logits.top_k(k)

    def margin(self, k: int = 2) -> float:
        """How far the best score is ahead of the `k`-th best.

        Raises:
            UndeclaredLogitsError: It is more than was declared.
        """
        if k > self._top:
            raise self._undeclared(f".margin({k})", k)
        return self._logits.margin(k)

    def entropy(self) -> float:
        """The entropy of the whole row, which is more than was declared.

        Raises:
            UndeclaredLogitsError: Always.
        """
        raise self._undeclared(".entropy()", "full")

    def to_numpy(self) -> Any:
        """The whole row, which is more than was declared.

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
