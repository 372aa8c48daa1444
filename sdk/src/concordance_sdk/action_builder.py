"""The `actions` argument of a handler: one method for each action.

Nothing is checked here. `concordance_shared.legality` checks an action against the event once the
handler has returned it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from concordance_shared import (
    Action,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    EmitError,
    ForceOutput,
    ForceTokens,
    Noop,
    Report,
    ToolCall,
    ToolCalls,
)

from concordance_sdk.request_context import current_request
from concordance_sdk.tokenizer import Tokenizer

Made = TypeVar("Made", bound=Action)


class Actions:
    """Builds actions. Each handler is passed one.

    An action that the event does not allow ends the request with an `InvalidActionError` once the
    handler returns it. So does an action that a handler makes without returning any.

    Attributes:
        made: The action made last, other than a `Noop`; the host resets it before each call.
        stopped: The action that `stop` made last.
        reports: The reports made, which the host also resets.

    Examples:
        >>> Actions().backtrack(2, [72, 105])
        Backtrack(n=2, tokens=[72, 105])
    """

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        """Build actions for a model.

        Args:
            tokenizer: The model's; only `stop` needs it.
        """
        self._tokenizer = tokenizer
        self.made: Action | None = None
        self.reports: list[Report] = []
        self.stopped: ForceTokens | None = None

    def _keep(self, action: Made) -> Made:
        self.made = action
        return action

    def noop(self) -> Noop:
        """Change nothing, as returning `None` does; also drops an action made before on purpose."""
        return Noop()

    def report(self, /, **data: Any) -> Report:
        """Send data to the client beside the completion. Allowed at every event.

        It is sent if the handler returns it. To act as well, return a list of reports and at most
        one other action.

        Args:
            data: Values that can be encoded as JSON; numpy and mlx arrays are sent as lists.

        Examples:
            >>> from concordance_sdk import Finished, mod
            >>> from concordance_sdk.testing import play
            >>> @mod(on=[Finished])
            ... def measure(event, actions):
            ...     return actions.report(length=event.step)
            >>> play(measure, says="Hello").reports[0].data
            {'length': 6}
        """
        report = self._keep(Report(data))
        self.reports.append(report)
        return report

    def adjust_prefill(
        self, tokens: Sequence[int], max_steps: int = 0, *, logprobs: bool = False
    ) -> AdjustedPrefill:
        """Replace the prompt. Allowed at `Prefilled`.

        Args:
            tokens: The token ids of the new prompt, at least one.
            max_steps: A cap on the completion's tokens; 0 keeps its budget.
            logprobs: True to compute the log-probabilities of the prompt's tokens, which the
                request's first `ForwardPass` then has as `prompt_logprobs`.
        """
        return self._keep(AdjustedPrefill(tokens, max_steps, logprobs))

    def adjust_logits(
        self,
        logits: Any = None,
        token_temp: float | None = None,
        *,
        bias: Mapping[int, float] | Any = None,
        allow: Sequence[int] | None = None,
        ban: Sequence[int] | None = None,
        mask: Any = None,
    ) -> AdjustedLogits:
        """Change the distribution of this one position. Allowed at `ForwardPass`.

        Args:
            logits: A whole new row.  (vocab,) floats
            token_temp: The temperature of this position, 0 to 100; 0 takes the top token.
            bias: Token id -> value added to its logit, in nats. Or an array with a value for each
                token; an mlx array stays on the device.  (vocab,) floats
            allow: Only these token ids can be sampled.
            ban: These token ids cannot be sampled.
            mask: One bool for each token, True if it can be sampled. Or packed: bit `i % 8` of
                byte `i // 8`.  (vocab,) bools or (vocab / 8,) bytes, rounded up
        """
        return self._keep(
            AdjustedLogits(
                logits=logits, token_temp=token_temp, bias=bias, allow=allow, ban=ban, mask=mask
            )
        )

    def force_tokens(self, tokens: Sequence[int]) -> ForceTokens:
        """Append these tokens without sampling.

        At `ForwardPass` and `Sampled` they replace the sampled token; at `Added` they follow the
        tokens just added.

        Args:
            tokens: Their ids; an empty list changes nothing.
        """
        return self._keep(ForceTokens(tokens))

    def stop(self) -> ForceTokens:
        """End the completion: force the model's end-of-sequence token.

        Allowed where tokens can be forced: at `ForwardPass` and `Sampled` in place of the sampled
        token, at `Added` after the tokens just added.

        Raises:
            TypeError: The builder was made without a tokenizer.

        Examples:
            >>> from concordance_sdk import ForwardPass, mod
            >>> from concordance_sdk.testing import play
            >>> @mod(on=[ForwardPass])
            ... def brief(event, actions):
            ...     return actions.stop() if event.step == 5 else None
            >>> play(brief, says="Hello there").text
            'Hello'
        """
        if self._tokenizer is None:
            raise TypeError("stop() needs the model's tokenizer: use Actions(tokenizer)")
        self.stopped = self._keep(ForceTokens([end_token_id(self._tokenizer)]))
        return self.stopped

    def backtrack(self, n: int, tokens: Sequence[int] | None = None) -> Backtrack:
        """Remove the last `n` tokens of the completion, then force `tokens`, if any.

        Allowed at `ForwardPass`, `Sampled` and `Added`; at `Added` the tokens just added count.

        Args:
            n: Up to the length of the completion.
            tokens: The ids of tokens to force there; `None` continues by sampling.
        """
        return self._keep(Backtrack(n, tokens))

    def force_output(self, tokens: Sequence[int]) -> ForceOutput:
        """Replace the completion by exactly these tokens, and end it.

        Allowed at every event but `Finished`.

        Args:
            tokens: Their ids; an empty list makes an empty completion.
        """
        return self._keep(ForceOutput(tokens))

    def tool_calls(
        self, tool_calls: ToolCall | Mapping[str, Any] | Sequence[ToolCall | Mapping[str, Any]]
    ) -> ToolCalls:
        """End the completion as tool calls. Allowed at every event but `Finished`.

        Args:
            tool_calls: One call or several, in OpenAI's shape. Arguments may be an object; a
                missing id is generated.
        """
        # Made canonical by `check_action`.
        return self._keep(ToolCalls(tool_calls))  # type: ignore[arg-type]

    def emit_error(self, err_str: str) -> EmitError:
        """End the request with this error. Allowed at every event but `Finished`.

        Args:
            err_str: The message for the client.
        """
        return self._keep(EmitError(err_str))


def end_token_id(tokenizer: Tokenizer) -> int:
    """The token that ends a completion when it is forced.

    The one that ends the current message, if the model's messages have headers; otherwise the
    lowest end-of-sequence id.
    """
    request = current_request()
    channels = request and request.channels
    own = channels.format.end_id(channels.place) if channels else None
    return min(tokenizer.eos_token_ids) if own is None else own


def method_for(action: Action) -> str:
    """The name of the method of `Actions` that makes an action.

    Examples:
        >>> method_for(Backtrack(1)), method_for(AdjustedLogits())
        ('backtrack', 'adjust_logits')
    """
    words = re.findall("[A-Z][a-z]*", type(action).__name__)
    return "_".join(words).lower().replace("adjusted_", "adjust_")
