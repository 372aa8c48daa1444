"""What a mod may answer: eight actions, as values.

Building one checks nothing, since it is only a value; `legality.check_action` is the one door at
which every answer of a mod is checked before it changes anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from concordance_shared.conversation import ToolCall


class Action(Struct, frozen=True, tag=True):
    """A mod's answer to an event.

    Handlers make them by their `actions`, of which each method has the name of one.

    Examples:
        Actions are values: they compare, match, and travel as JSON by their names.

        >>> import msgspec
        >>> msgspec.json.encode(Backtrack(2, [72, 105]))
        b'{"type":"Backtrack","n":2,"tokens":[72,105]}'
    """


class Noop(Action, frozen=True, tag=True):
    """Change nothing. Returning `None` says the same. Allowed at every event.

    Examples:
        >>> from concordance_sdk import Actions
        >>> Actions().noop() == Noop()
        True
    """


class AdjustedPrefill(Action, frozen=True, tag=True):
    """Replace the prompt; a positive `max_steps` also caps this request's completion.

    Allowed at `Prefilled`. An empty prompt is refused.

    Attributes:
        tokens: The token ids of the new prompt.
        max_steps: The most tokens that the completion may have; 0 leaves its budget as it is.

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


class AdjustedLogits(Action, frozen=True, kw_only=True, tag=True, eq=False):
    """Change the distribution from which this one position is sampled.

    Allowed at `ForwardPass`. The fields apply in the order in which they stand here, and every one
    may be left out. All but `logits` stay on the device: they cost the same whatever the size of
    the vocabulary. What leaves no token to sample is refused.

    Attributes:
        logits: A whole new row, as numpy, mlx, a sequence or float32 bytes.  (vocab,) floats
        bias: Token id -> what is added to its score, in nats: `exp` of it times as likely.
        allow: Only these token ids can be sampled.
        ban: These token ids cannot be sampled.
        mask: A packed bitmask: bit `i % 8` of byte `i // 8` says whether token i may stay.
            (vocab / 8,) bytes, rounded up
        token_temp: The temperature of this position, 0 to 100; 0 takes the best token.

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
    bias: Mapping[int, float] | None = None
    allow: Sequence[int] | None = None
    ban: Sequence[int] | None = None
    mask: Any = None  # (vocab / 8,) bytes
    token_temp: float | None = None


class ForceTokens(Action, frozen=True, tag=True):
    """Put these tokens here without sampling them.

    At `ForwardPass` and `Sampled` they stand instead of the sampled token, at `Added` they follow
    the tokens that were just added. An empty list changes nothing. However many they are, the
    model reads them in one forward pass.

    Attributes:
        tokens: Their ids.

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
    """Take back the last `n` tokens of the completion, then put `tokens` there, if any.

    Allowed at `ForwardPass`, `Sampled` and `Added`. A token that was sampled and not yet added is
    dropped and does not count in `n`; tokens that were just added do count. More than the
    completion has, or than a stream still holds back, is refused.

    Attributes:
        n: How many tokens.
        tokens: The ids of those that stand there instead; `None` samples on from there.

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
    """Make exactly these tokens the completion, and end it. Allowed everywhere but `Finished`.

    Attributes:
        tokens: Their ids; none makes an empty completion.

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
    """End the completion as calls of tools, in OpenAI's shape. Allowed everywhere but `Finished`.

    A mod may give one call or several, as mappings, with an object as arguments and without an id.

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
    """End the request with an error that the client is told. Allowed everywhere but `Finished`.

    Attributes:
        err_str: What it is told.

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
    | AdjustedPrefill
    | AdjustedLogits
    | ForceTokens
    | Backtrack
    | ForceOutput
    | ToolCalls
    | EmitError
)
"""Any of the actions, as a type: `match` over it is checked to be complete."""

ACTIONS: tuple[type[Action], ...] = (
    Noop,
    AdjustedPrefill,
    AdjustedLogits,
    ForceTokens,
    Backtrack,
    ForceOutput,
    ToolCalls,
    EmitError,
)
"""All actions."""
