"""The `actions` that a handler is given: one method for each action, none of them checked here.

What is allowed at which event is decided in one place, `concordance_shared.legality`, when the
handler has returned.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from concordance_shared import (
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCall,
    ToolCalls,
)


class Actions:
    """Builds the actions that a mod answers with.

    A handler is given one. What is wrong with an action is said when the handler has returned it:
    the request then ends with an `InvalidActionError`.

    Examples:
        >>> Actions().backtrack(2, [72, 105])
        Backtrack(n=2, tokens=[72, 105])
    """

    def noop(self) -> Noop:
        """Change nothing. Returning `None` says the same."""
        return Noop()

    def adjust_prefill(self, tokens: Sequence[int], max_steps: int = 0) -> AdjustedPrefill:
        """Replace the prompt. Allowed at `Prefilled`.

        Args:
            tokens: The token ids of the new prompt, at least one.
            max_steps: The most tokens that the completion may have; 0 leaves its budget as it is.
        """
        return AdjustedPrefill(tokens, max_steps)

    def adjust_logits(
        self,
        logits: Any = None,
        token_temp: float | None = None,
        *,
        bias: Mapping[int, float] | None = None,
        allow: Sequence[int] | None = None,
        ban: Sequence[int] | None = None,
        mask: Any = None,
    ) -> AdjustedLogits:
        """Change the distribution of this one position. Allowed at `ForwardPass`.

        Args:
            logits: A whole new row.  (vocab,) floats
            token_temp: The temperature of this position, 0 to 100; 0 takes the best token.
            bias: Token id -> what is added to its score, in nats.
            allow: Only these token ids can be sampled.
            ban: These token ids cannot be sampled.
            mask: Packed bitmask of the tokens that can be sampled: bit `i % 8` of byte `i // 8`.
                (vocab / 8,) bytes, rounded up
        """
        return AdjustedLogits(
            logits=logits, token_temp=token_temp, bias=bias, allow=allow, ban=ban, mask=mask
        )

    def force_tokens(self, tokens: Sequence[int]) -> ForceTokens:
        """Put these tokens here without sampling them.

        At `ForwardPass` and `Sampled` instead of the sampled token, at `Added` behind the tokens
        that were just added.

        Args:
            tokens: Their ids; none changes nothing.
        """
        return ForceTokens(tokens)

    def backtrack(self, n: int, tokens: Sequence[int] | None = None) -> Backtrack:
        """Take back the last `n` tokens of the completion, then put `tokens` there, if any.

        Allowed at `ForwardPass`, `Sampled` and `Added`; at `Added` the tokens just added count.

        Args:
            n: How many, at most as many as the completion has.
            tokens: The ids of those that stand there instead; `None` samples on from there.
        """
        return Backtrack(n, tokens)

    def force_output(self, tokens: Sequence[int]) -> ForceOutput:
        """Make exactly these tokens the completion, and end it.

        Allowed everywhere but `Finished`.

        Args:
            tokens: Their ids; none makes an empty completion.
        """
        return ForceOutput(tokens)

    def tool_calls(
        self, tool_calls: ToolCall | Mapping[str, Any] | Sequence[ToolCall | Mapping[str, Any]]
    ) -> ToolCalls:
        """End the completion as calls of tools. Allowed everywhere but `Finished`.

        Args:
            tool_calls: One call or several, in OpenAI's shape. Arguments may be an object, and a
                missing id is made.
        """
        return ToolCalls(tool_calls)  # type: ignore[arg-type]  # made canonical by `check_action`

    def emit_error(self, err_str: str) -> EmitError:
        """End the request with this error. Allowed everywhere but `Finished`.

        Args:
            err_str: What the client is told.
        """
        return EmitError(err_str)


ACTIONS = Actions()
