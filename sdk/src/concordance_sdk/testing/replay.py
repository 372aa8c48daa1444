"""Replays the mods of a trace, without a model: a trace is a regression test."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from concordance_sdk import builtin
from concordance_sdk.channels import ChannelFormat
from concordance_sdk.composition import ModUse
from concordance_sdk.definition import ModDefinition
from concordance_sdk.mod import definition_of
from concordance_sdk.parameters import parse_parameters
from concordance_sdk.registry import registry
from concordance_sdk.testing.recorded_tokenizer import RecordedTokenizer
from concordance_sdk.testing.recorded_trace import RecordedTrace, recorded_trace
from concordance_sdk.testing.replaying import Replaying
from concordance_sdk.tokenizer import Tokenizer


class ReplayedMods(Struct, frozen=True, kw_only=True):
    """The result of a replay in which every action was the recorded one.

    Attributes:
        names: The mods under test.
        num_calls: Calls of their handlers.
        num_actions: Calls that returned an action.
        token_ids: The completion.

    Examples:
        >>> ReplayedMods(names=("greet",), num_calls=2, num_actions=1, token_ids=(72,)).names
        ('greet',)
    """

    names: tuple[str, ...]
    num_calls: int
    num_actions: int
    token_ids: tuple[int, ...]


def replay(
    trace: Any,
    *mods: Any,
    tokenizer: Tokenizer | None = None,
    channels: ChannelFormat | None = None,
) -> ReplayedMods:
    """Give the recorded events of a trace to mods, and fail unless they act as recorded.

    Tokens are drawn as they were, so no model is needed. Mods of the trace that are not under
    test, and actions by hand, act as recorded. A mod gets the most probable tokens of each
    position, their logits as log-probabilities; reading beyond them is an error.

    Args:
        trace: A file with one trace of level `tokens` as JSON, or the trace.
        mods: The mods under test, which have the parameters of the trace; `use(mod, ...)` for
            others. By default all of the trace that are registered by `@mod` or built in.
        tokenizer: The model's tokenizer; by default one that knows the tokens of the trace only.
        channels: How the model marks channels, if it has them.

    Raises:
        AssertionError: A mod returned something else; the message shows the first difference.
        UnrecordedError: A mod reads logits, or uses a text, that the trace does not have.
        ValueError: The trace lacks something, or has none of the mods.

    Examples:
        >>> from concordance_sdk import ForwardPass, mod
        >>> @mod
        ... def greet(event, actions, tokenizer):
        ...     if isinstance(event, ForwardPass) and event.step == 0:
        ...         return actions.force_tokens(tokenizer.encode("Hi"))
        >>> limits = {"max_tokens": 2, "vocab_size": 257, "context_length": 512}
        >>> tokens = [
        ...     {"index": i, "position": i, "token_id": b, "text": chr(b), "origin": "forced"}
        ...     for i, b in enumerate(b"Hi")
        ... ]
        >>> force = {"token_ids": [72, 105], "num_tokens": 2}
        >>> trace = {
        ...     "id": "t", "prompt_ids": [62], "finish_reason": "length",
        ...     "mods": [{"name": "greet"}],
        ...     "limits": {**limits, "end_ids": [256], "forced_end_ids": [256]},
        ...     "tokens": tokens, "completion_ids": [72, 105],
        ...     "events": [{"index": 0, "mod": "greet", "event": "ForwardPass",
        ...                 "action": "ForceTokens", "details": force}],
        ... }
        >>> replay(trace, greet).num_actions
        1
    """
    recorded = recorded_trace(trace)
    uses = _uses(recorded, mods)
    known = RecordedTokenizer(recorded) if tokenizer is None else tokenizer
    replaying = Replaying(recorded, uses, known, channels)
    replaying.run()
    return ReplayedMods(
        names=tuple(uses),
        num_calls=replaying.num_calls,
        num_actions=replaying.num_actions,
        token_ids=tuple(replaying.state.completion_ids),
    )


def _uses(trace: RecordedTrace, mods: Sequence[Any]) -> dict[str, list[ModUse]]:
    """Return the mods under test by name, with parameters.

    Raises:
        ValueError: The trace has none of them, or mods were added by hand.
    """
    for event in trace.events:
        if event.command and (event.command.get("attach") or event.command.get("detach")):
            raise ValueError(
                f"trace {trace.id} cannot be replayed without a model: a mod was added or removed "
                "by hand; use `concordance replay`"
            )
    given = {use.definition.name: use for use in mods if isinstance(use, ModUse)}
    bare = [definition_of(mod) for mod in mods if not isinstance(mod, ModUse)]
    known = {definition.name: definition for definition in bare} if mods else _registered()
    uses: dict[str, list[ModUse]] = {}
    for mod in trace.mods:
        if mod.name in given:
            uses.setdefault(mod.name, []).append(given[mod.name])
        elif mod.name in known:
            definition = known[mod.name]
            values = parse_parameters(definition.parameters, mod.parameters, name=mod.name)
            uses.setdefault(mod.name, []).append(ModUse(definition, values))
    if missing := [name for name in (*given, *(each.name for each in bare)) if name not in uses]:
        raise ValueError(_none(trace, missing))
    if not uses:
        raise ValueError(_none(trace, []))
    return uses


def _none(trace: RecordedTrace, missing: Sequence[str]) -> str:
    names = ", ".join(mod.name for mod in trace.mods) or "none"
    what = f"mod {missing[0]!r}" if missing else "mod that is registered here"
    return f"trace {trace.id} has no {what}; its mods: {names}. Pass the mod: replay(trace, MOD)"


def _registered() -> dict[str, ModDefinition]:
    built_in = [definition_of(getattr(builtin, name)) for name in builtin.__all__]
    return {each.name: each for each in (*built_in, *registry)}
