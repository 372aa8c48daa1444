"""Plays a completion with mods: the unit test of a mod, without a model and without a server."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from concordance_shared import Conversation, InvalidRequestError, Message, Schemas

from concordance_sdk.testing.byte_tokenizer import ByteTokenizer
from concordance_sdk.testing.played import Played
from concordance_sdk.testing.playing import Playing, Scene, uses_for
from concordance_sdk.testing.scripted_model import Script
from concordance_sdk.tokenizer import Tokenizer


def play(  # noqa: PLR0913  # a test names what it needs, and nothing else
    *mods: Any,
    script: str | Script | None = None,
    says: str | Sequence[int] | None = None,
    prompt: str = "",
    parameters: Mapping[str, Any] | None = None,
    messages: Sequence[Message | Mapping[str, Any]] = (),
    schemas: Schemas | Mapping[str, Any] | None = None,
    max_tokens: int = 256,
    tokenizer: Tokenizer | None = None,
    stream: bool = False,
) -> Played:
    """Play a completion with mods, by the engine's own rules, and return what became of it.

    Args:
        mods: The mods, in the order in which they act; `use(mod, parameter=value)` for one with
            parameters of its own.
        script: What the model wants to say, position by position of the completion: a text, token
            ids, or a function of the completion that returns a token id, or scores by token id.
            Token i is wanted at position i, also where a mod has put other tokens before it.
        says: The same, for a model that goes on where it was interrupted: what mods force does not
            count. Give one of the two.
        prompt: What stands before the completion; `>` if it is empty, since a model reads
            something first.
        parameters: The parameters of every class mod that has none of its own.
        messages: The conversation that `get_conversation()` gives; mappings become messages, as
            they do when a client sends them.
        schemas: The tools and the response format that `get_schemas()` gives; or a mapping.
        max_tokens: The completion's budget, 1 at least.
        tokenizer: The model's tokenizer; one whose tokens are bytes if left out.
        stream: Refuse, as a stream does, to take back what was shown.

    Raises:
        ModError: A mod raised, answered with what is not allowed, or emitted an error. What was
            played until then is in its notes.
        InvalidRequestError: A parameter is missing, unknown or of the wrong type; a message is
            none; or the budget is below 1.
        TypeError: Neither `script` nor `says` is given, or both; or the script says something else
            than tokens.

    Examples:
        >>> from concordance_sdk import ForwardPass, mod
        >>> @mod
        ... def greet(event, actions, tokenizer):
        ...     if isinstance(event, ForwardPass) and event.step == 0:
        ...         return actions.force_tokens(tokenizer.encode("Hi "))
        >>> play(greet, says="you").text
        'Hi you'
        >>> play(greet, script="...you").text
        'Hi you'
    """
    wanted = script if says is None else says
    if wanted is None or (script is not None and says is not None):
        raise TypeError("play takes what the model wants as `script` or as `says`, one of the two")
    scene = Scene(
        script=wanted,
        goes_on=says is not None,
        prompt=prompt,
        conversation=_conversation(messages, schemas or Schemas()),
        max_tokens=max_tokens,
        tokenizer=tokenizer or ByteTokenizer(),
        is_streamed=stream,
    )
    playing = Playing(uses_for(mods, parameters or {}), scene)
    while not playing.is_over:
        playing.step()
    return playing.finish()


def _conversation(
    messages: Sequence[Message | Mapping[str, Any]], schemas: Schemas | Mapping[str, Any]
) -> Conversation:
    """What mods can ask for, validated as the server validates a request's body."""
    try:
        return msgspec.convert({"messages": messages, "schemas": schemas}, Conversation)
    except msgspec.ValidationError as exc:
        what, _, path = str(exc).rstrip("`").partition(" - at `$.")
        raise InvalidRequestError(f"{path}: {what[:1].lower()}{what[1:]}", param=path) from exc
