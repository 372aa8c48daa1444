"""Plays a completion with mods: the unit test of a mod, without a model or a server."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from concordance_shared import Conversation, InvalidRequestError, Message, Schemas
from concordance_shared.conversation import roles_hint
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_sdk.channels.channel_format import ChannelFormat
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
    channels: ChannelFormat | None = None,
) -> Played:
    """Play a completion with mods, by the engine's own rules, and return the result.

    Args:
        mods: The mods, in the order in which they act; `use(mod, parameter=value)` for one with
            its own parameters.
        script: The model's tokens by position: a text, token ids, or a function of the completion
            that returns a token id, or logits by token id. The model samples token i of the script
            at position i, even if mods put other tokens before it.
        says: The model's own tokens: the same, but tokens that mods force do not count, so the
            model resumes where it was interrupted. Pass either `script` or `says`.
        prompt: The prompt; `>` if it is empty, since a model needs a token to process.
        parameters: The parameters of every class mod that has none of its own.
        messages: The conversation that `get_conversation()` returns; mappings become messages, as
            they do in the server.
        schemas: The tools and the response format that `get_schemas()` returns; or a mapping.
        max_tokens: The maximum number of completion tokens, at least 1.
        tokenizer: The model's tokenizer; by default one whose tokens are bytes.
        stream: True to reject a backtrack over text that a stream would have shown.
        channels: How the model marks channels: `tag_channels()` or `message_channels()`; by default
            it has none.

    Raises:
        ModError: A mod raised, returned an invalid action, or emitted an error. Its notes have the
            event log.
        InvalidRequestError: A parameter is missing, unknown or of the wrong type; a message is
            invalid; or `max_tokens` is less than 1.
        TypeError: Neither or both of `script` and `says` are given, or the script contains
            something other than tokens.

    Examples:
        >>> from concordance_sdk import ForwardPass, mod
        >>> @mod
        ... def greet(event, actions, tokenizer):
        ...     if isinstance(event, ForwardPass) and event.step == 0:
        ...         return actions.force_tokens(tokenizer.encode("Hi"))
        >>> play(greet, says=" you").text
        'Hi you'
        >>> play(greet, script=".. you").text
        'Hi you'
    """
    _check_arguments(prompt, parameters, max_tokens, tokenizer)
    tokens = script if says is None else says
    if tokens is None or (script is not None and says is not None):
        raise TypeError("play takes the model's tokens as either `script` or `says`")
    scene = Scene(
        script=tokens,
        resumes=says is not None,
        prompt=prompt,
        conversation=_conversation(messages, schemas or Schemas()),
        max_tokens=max_tokens,
        tokenizer=tokenizer or getattr(channels, "tokenizer", None) or ByteTokenizer(),
        is_streamed=stream,
        channels=channels,
    )
    playing = Playing(uses_for(mods, parameters or {}), scene)
    while not playing.is_over:
        playing.step()
    return playing.finish()


def _check_arguments(
    prompt: object, parameters: object, max_tokens: object, tokenizer: object
) -> None:
    """Reject arguments of a wrong type, which would fail far from here."""
    is_count = isinstance(max_tokens, int) and not isinstance(max_tokens, bool)
    is_tokenizer = tokenizer is None or hasattr(tokenizer, "eos_token_ids")
    for is_right, name, value, what in (
        (isinstance(prompt, str), "prompt", prompt, "a text"),
        (
            parameters is None or isinstance(parameters, Mapping),
            "parameters",
            parameters,
            "a mapping",
        ),
        (is_count, "max_tokens", max_tokens, "a number of tokens"),
        (is_tokenizer, "tokenizer", tokenizer, "an object such as FolderTokenizer(path)"),
    ):
        if not is_right:
            raise InvalidRequestError(f"play: {name} is {what}, not {value!r:.60}", param=name)


def _check_fields(messages: Any) -> None:
    """Reject a mistyped field of a message, which would be ignored."""
    known = Message.__struct_fields__
    listed = f"it has: {', '.join(known)}"
    mappings: list[Any] = messages if isinstance(messages, list) else []
    for i, message in enumerate(mappings):
        for key in message if isinstance(message, dict) else ():
            close = [] if key in known else similar_names(f"{key}", known)
            if close:
                raise InvalidRequestError(
                    f"messages[{i}] has no field {key!r:.40}{did_you_mean(close, listed)}",
                    param=f"messages[{i}].{key}",
                )


def _conversation(
    messages: Sequence[Message | Mapping[str, Any]], schemas: Schemas | Mapping[str, Any]
) -> Conversation:
    """Build the conversation for mods, validated as the server validates a request."""
    _check_fields(messages)
    try:
        return msgspec.convert({"messages": messages, "schemas": schemas}, Conversation)
    except msgspec.ValidationError as exc:
        what, _, path = str(exc).rstrip("`").partition(" - at `$.")
        message = f"{path}: {what[:1].lower()}{what[1:]}{roles_hint(path)}"
        raise InvalidRequestError(message, param=path) from exc
