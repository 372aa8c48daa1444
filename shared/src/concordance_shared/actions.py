"""The nine actions that a mod can return from a handler.

An action is a plain value; constructing one validates nothing. `legality.check_action` validates
every action that a mod returns, before it has any effect.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from concordance_shared.conversation import ToolCall


class Action(Struct, frozen=True, tag=True):
    """A mod's response to an event.

    Handlers create actions with `actions`, which has one method per action.

    Examples:
        Actions are values: they compare, match, and encode to JSON with their name as `type`.

        >>> import msgspec
        >>> msgspec.json.encode(Backtrack(2, [72, 105]))
        b'{"type":"Backtrack","n":2,"tokens":[72,105]}'
    """


class Noop(Action, frozen=True, tag=True):
    """Change nothing. Returning `None` is equivalent. Allowed at every event.

    Examples:
        >>> from concordance_sdk import Actions
        >>> Actions().noop() == Noop()
        True
    """


class Report(Action, frozen=True, tag=True):
    """Send data to the client beside the completion, such as a verdict or a probability.

    Allowed at every event. A report never decides an event: a handler that also acts returns a
    list of its reports and at most one other action. Without data, it is no report.

    Attributes:
        data: String keys and values that can be encoded as JSON: strings, finite numbers, booleans,
            `None`, lists and mappings of these; numpy and mlx arrays are sent as lists. All
            reports of a request together are limited to `MAX_REPORTS` and to `MAX_REPORT_BYTES`
            of JSON.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added])
        ... def stop_at_period(event, actions):
        ...     if event.added_tokens == tuple(b"."):
        ...         return [actions.report(length=event.step), actions.stop()]
        >>> play(stop_at_period, says="Yes. No.").reports
        (ModReport(mod='stop_at_period', step=3, data={'length': 3}),)
    """

    data: Mapping[str, Any]


class AdjustedPrefill(Action, frozen=True, tag=True):
    """Replace the prompt; a positive `max_steps` also limits the length of the completion.

    Allowed at `Prefilled`. An empty prompt is rejected.

    Attributes:
        tokens: The token ids of the new prompt.
        max_steps: The maximum number of completion tokens; 0 keeps the request's limit.
        logprobs: True to compute the log-probabilities of the prompt's tokens, which the request's
            first `ForwardPass` then has as `prompt_logprobs`.

    Examples:
        >>> from concordance_sdk import Prefilled, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Prefilled])
        ... def last_words(event, actions):
        ...     return actions.adjust_prefill(event.context_info.tokens[-3:], max_steps=2)
        >>> played = play(last_words, prompt="What is it?", says="four")
        >>> bytes(played.prompt_ids), played.text
        (b'it?', 'fo')
    """

    tokens: Sequence[int]
    max_steps: int = 0
    logprobs: bool = False


class AdjustedLogits(Action, frozen=True, kw_only=True, tag=True, eq=False):
    """Change the distribution that the next token is sampled from, for this position only.

    Allowed at `ForwardPass`. All fields are optional and apply in the order listed. All but
    `logits` are applied on the device, at a cost that does not depend on the vocabulary size. An
    adjustment that leaves no token to sample is rejected.

    Attributes:
        logits: A complete replacement row: numpy, mlx, a sequence or float32 bytes.
            (vocab,) floats
        bias: Token id -> the amount added to its logit, in nats; multiplies its odds by `exp` of
            that amount. Or one amount for each token: numpy, mlx, a sequence or float32 bytes; an
            mlx array stays on the device.  (vocab,) floats
        allow: Only these token ids can be sampled.
        ban: These token ids cannot be sampled.
        mask: One bool for each token, True if it can be sampled: a numpy or mlx array or a
            sequence. Or packed: token i is allowed if bit `i % 8` of byte `i // 8` is set.
            (vocab,) bools or (vocab / 8,) bytes, rounded up
        token_temp: The sampling temperature, 0 to 100; 0 is greedy.

    Examples:
        >>> from concordance_sdk import ForwardPass, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[ForwardPass])
        ... def yes_or_no(event, actions):
        ...     if event.step == 0:
        ...         return actions.adjust_logits(allow=b"yn", bias={ord("n"): 1.5})
        >>> play(yes_or_no, script="yo", max_tokens=2).text
        'no'
    """

    logits: Any = None  # (vocab,) floats
    bias: Mapping[int, float] | Sequence[float] | bytes | None = None
    allow: Sequence[int] | None = None
    ban: Sequence[int] | None = None
    mask: Any = None  # (vocab,) bools or (vocab / 8,) bytes
    token_temp: float | None = None


class ForceTokens(Action, frozen=True, tag=True):
    """Add these tokens to the completion without sampling them.

    At `ForwardPass` and `Sampled` they replace the sampled token; at `Added` they follow the
    tokens just added. An empty list changes nothing. All of them are prefilled in one forward
    pass.

    Attributes:
        tokens: The token ids.

    Examples:
        >>> from concordance_sdk import Sampled, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Sampled])
        ... def greet(event, actions, tokenizer):
        ...     if event.step == 0:
        ...         return actions.force_tokens(tokenizer.encode("Hi, "))
        >>> play(greet, says="you").text
        'Hi, you'
    """

    tokens: Sequence[int]


class Backtrack(Action, frozen=True, tag=True):
    """Remove the last `n` tokens of the completion, then append `tokens`, if given.

    Allowed at `ForwardPass`, `Sampled` and `Added`. At `Sampled`, the sampled token is discarded
    and does not count towards `n`; at `Added`, the tokens just added do count. Rejected if `n` is
    more than the length of the completion, or reaches text that was already streamed.

    Attributes:
        n: The number of tokens to remove.
        tokens: The ids of the replacement; with `None`, sampling resumes at that position.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added], max_backtrack=1)
        ... def no_shouting(event, actions):
        ...     if event.added_tokens == tuple(b"!"):
        ...         return actions.backtrack(1, b".")
        >>> play(no_shouting, says="Stop!").text
        'Stop.'
    """

    n: int
    tokens: Sequence[int] | None = None


class ForceOutput(Action, frozen=True, tag=True):
    """Replace the whole completion by these tokens and end it.

    Allowed everywhere except `Finished`.

    Attributes:
        tokens: The token ids; an empty list makes an empty completion.

    Examples:
        >>> from concordance_sdk import Prefilled, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Prefilled])
        ... def closed(event, actions, tokenizer):
        ...     return actions.force_output(tokenizer.encode("We are closed."))
        >>> played = play(closed, says="Hello")
        >>> played.text, played.passes
        ('We are closed.', 0)
    """

    tokens: Sequence[int]


class ToolCalls(Action, frozen=True, tag=True):
    """End the completion with tool calls, in OpenAI's format.

    Allowed everywhere except `Finished`. A mod can pass one call or several, also as mappings,
    with arguments as an object, and without an id.

    Attributes:
        tool_calls: The calls.

    Examples:
        >>> from concordance_sdk import Prefilled, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Prefilled])
        ... def look_it_up(event, actions):
        ...     return actions.tool_calls({"name": "search", "arguments": {"query": "tides"}})
        >>> played = play(look_it_up, says="")
        >>> played.tool_calls[0].function
        FunctionCall(name='search', arguments='{"query":"tides"}')
        >>> played.finish_reason.value
        'tool_calls'
    """

    tool_calls: Sequence[ToolCall]


class EmitError(Action, frozen=True, tag=True):
    """End the request with an error that is returned to the client.

    Allowed everywhere except `Finished`.

    Attributes:
        err_str: The error message.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> from concordance_shared import EmittedError
        >>> @mod(on=[Added])
        ... def short_only(event, actions):
        ...     if event.step == 3:
        ...         return actions.emit_error("that is too long")
        >>> try:
        ...     play(short_only, says="abcdef")
        ... except EmittedError as error:
        ...     print(error)
        that is too long
    """

    err_str: str


AnyAction = (
    Noop
    | Report
    | AdjustedPrefill
    | AdjustedLogits
    | ForceTokens
    | Backtrack
    | ForceOutput
    | ToolCalls
    | EmitError
)
"""Any action, as a union type; pyright checks that a `match` over it is exhaustive."""

ACTIONS: tuple[type[Action], ...] = (
    Noop,
    Report,
    AdjustedPrefill,
    AdjustedLogits,
    ForceTokens,
    Backtrack,
    ForceOutput,
    ToolCalls,
    EmitError,
)
"""The classes of all actions."""

Returned = Action | Sequence[Action] | None
"""What a handler may return, as a type: an action, reports and at most one action, or nothing."""
