"""The options of a completion's format and end, as a model here and as a server take them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import msgspec
from concordance_shared import InvalidRequestError

from concordance_inference.cli.options import OutputArgs
from concordance_inference.loop_detection import LoopDetection
from concordance_inference.output_format import OutputFormat


class Ends(TypedDict):
    """The fields of a request that say where the completion ends."""

    max_tokens: int
    min_tokens: int
    stop_token_ids: tuple[int, ...]
    ignore_eos: bool
    loop_detection: NotRequired[LoopDetection]


def output_of(options: OutputArgs) -> OutputFormat | None:
    """Return the format that the options ask for.

    Raises:
        InvalidRequestError: Two of them ask for one, or a file cannot be read.
    """
    asked = [*_asked(options)]
    if len(asked) > 1:
        first, second = asked[0].param, asked[1].param
        raise InvalidRequestError(
            f"{first} and {second} both give a format of the completion, which has one; leave out "
            "one of them"
        )
    return asked[0] if asked else None


def ends_of(options: OutputArgs) -> Ends:
    """Return the options about the end of a completion.

    Raises:
        InvalidRequestError: The minimum is above the maximum.
    """
    if options.min_tokens > options.max_tokens:
        raise InvalidRequestError(
            f"--min-tokens {options.min_tokens} is more than --max-tokens {options.max_tokens}; "
            "lower it"
        )
    ends = Ends(
        max_tokens=options.max_tokens,
        min_tokens=options.min_tokens,
        stop_token_ids=tuple(options.stop_token_id),
        ignore_eos=options.ignore_eos,
    )
    if options.loop_detection or options.loop_action:
        ends["loop_detection"] = LoopDetection(
            mode=options.loop_detection or "cheap", action=options.loop_action or "end"
        )
    return ends


def fields_of(options: OutputArgs) -> dict[str, Any]:
    """Return the fields of a request to a server that ask for the same.

    Raises:
        InvalidRequestError: See `output_of` and `ends_of`.
    """
    output = output_of(options)
    asked = {} if output is None else {"structured_outputs": {output.kind: output.value}}
    return {**ends_of(options), **asked}


def _asked(options: OutputArgs) -> Iterator[OutputFormat]:
    if options.json_schema is not None:
        schema = _schema(options.json_schema)
        yield OutputFormat(kind="json", value=schema, param="--json-schema")
    if options.regex is not None:
        yield OutputFormat(kind="regex", value=options.regex, param="--regex")
    if options.choice:
        yield OutputFormat(kind="choice", value=options.choice, param="--choice")
    if options.grammar is not None:
        grammar = _text(options.grammar, "--grammar")
        yield OutputFormat(kind="grammar", value=grammar, param="--grammar")


def _schema(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(_text(path, "--json-schema"), type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise InvalidRequestError(
            f"--json-schema {path}: not a JSON Schema, which is an object: {exc}"
        ) from exc


def _text(path: Path, flag: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as exc:
        raise InvalidRequestError(f"{flag} {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidRequestError(f"{flag} {path}: not UTF-8 at byte {exc.start}") from exc
