"""Runs a request on a running server, in place of a model of this process."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import MISSING, fields
from typing import Any

import msgspec
from concordance_shared import (
    FinishReason,
    FunctionCall,
    InvalidRequestError,
    Message,
    ModReport,
    ToolCall,
)

from concordance_inference.cli.options import ModelArgs, SampleArgs
from concordance_inference.cli.remote_mods import RemoteMods, remote_mods
from concordance_inference.cli.server_client import ServerClient, refusal, reports_of
from concordance_inference.cli.start import parse_mod
from concordance_inference.generation import (
    Completed,
    ReportsDelta,
    Started,
    TextDelta,
    TokensDelta,
    Update,
)
from concordance_inference.loop_detection import FoundLoop


def check_remote(options: ModelArgs) -> None:
    """Refuse options of a model that this command would load.

    Raises:
        InvalidRequestError: One is given.
    """
    for field in fields(ModelArgs):
        default = field.default if field.default is not MISSING else None
        if getattr(options, field.name) != default:
            name = field.name.replace("_", "-")
            raise InvalidRequestError(
                f"--{name} is about a model that this command loads, and --url uses the model of a "
                "server; leave out one of them"
            )


def remote_updates(
    server: ServerClient,
    options: SampleArgs,
    messages: Sequence[Message],
    *,
    fields: Mapping[str, Any] | None = None,
    shows_tokens: bool = False,
) -> Generator[Update]:
    """Run a request on a server; yield its updates as the engine of this process does.

    Closing the iterator cancels the request and removes the mods that were uploaded for it.

    Args:
        server: The server.
        options: How to sample, with which mods.
        messages: The conversation.
        fields: More fields of the request.
        shows_tokens: Send every change of the completion, in place of text.

    Raises:
        ConcordanceError: There is no such server, or it refuses the request or an upload.
    """
    model = server.model()
    with remote_mods(server, options.mods) as mods:
        body = {
            "model": model,
            "messages": messages,
            "mods": mods.select([parse_mod(mod) for mod in options.mod]),
            "max_tokens": options.max_tokens,
            **options.sampling,
            **(fields or {}),
            "stream": True,
            "separate_reasoning": False,  # the text is the model's, as without a server
            "stream_options": {
                "include_usage": True,
                "include_tokens": shows_tokens,
                "include_retractions": shows_tokens,  # as a request here that shows tokens
            },
        }
        with closing(_Updates(server.events("/v1/chat/completions", body), mods)) as updates:
            yield from updates


class _Updates:
    """The updates in the chunks of a stream."""

    def __init__(self, chunks: Iterator[dict[str, Any]], mods: RemoteMods) -> None:
        self._chunks = chunks
        self._mods = mods
        self._text = ""
        self._reports: list[ModReport] = []
        self._calls: list[dict[str, str]] = []
        self._finish_reason = FinishReason.STOP

    def close(self) -> None:
        """Close the connection."""
        getattr(self._chunks, "close", lambda: None)()

    def __iter__(self) -> Generator[Update]:
        yield Started(prompt_tokens=0)
        usage: dict[str, Any] = {}
        counts: dict[str, Any] = {}
        for chunk in self._chunks:
            if error := chunk.get("error"):
                raise refusal(error)
            about = chunk.get("concordance") or {}
            for choice in chunk["choices"]:
                yield from self._of(choice, about)
            if not chunk["choices"]:
                usage, counts = chunk.get("usage") or {}, about
        yield self._completed(usage, counts)

    def _of(self, choice: dict[str, Any], about: dict[str, Any]) -> Iterator[Update]:
        """The updates in a chunk."""
        delta = choice["delta"]
        if text := delta.get("content") or about.get("retracted"):
            text = delta.get("content") or ""
            retracted = about.get("retracted", 0)
            self._text = self._text[: len(self._text) - retracted] + text
            yield TextDelta(text=text, retracted=retracted)
        if reports := about.get("reports"):
            reported = ReportsDelta(reports=self._mods.own_reports(reports_of(reports)))
            self._reports += reported.reports
            yield reported
        if tokens := about.get("tokens"):
            yield self._named(msgspec.convert(tokens, TokensDelta))
        for call in delta.get("tool_calls", ()):
            self._add_call(call)
        if reason := choice["finish_reason"]:
            self._finish_reason = FinishReason(reason)

    def _named(self, delta: TokensDelta) -> TokensDelta:
        """A change with the mods' own names."""
        tokens = tuple(
            msgspec.structs.replace(token, mod=self._mods.plain(token.mod)) if token.mod else token
            for token in delta.tokens
        )
        mod = delta.mod and self._mods.plain(delta.mod)
        return msgspec.structs.replace(delta, tokens=tokens, mod=mod)

    def _add_call(self, piece: dict[str, Any]) -> None:
        """Add a piece of a tool call; the first has its name, the others its arguments."""
        if "id" in piece:
            self._calls.append(
                {"id": piece["id"], "name": piece["function"]["name"], "arguments": ""}
            )
        self._calls[-1]["arguments"] += piece["function"].get("arguments", "")

    def _completed(self, usage: dict[str, Any], counts: dict[str, Any]) -> Completed:
        return Completed(
            text=self._text,
            token_ids=(),
            finish_reason=self._finish_reason,
            tool_calls=tuple(
                ToolCall(id=call["id"], function=FunctionCall(call["name"], call["arguments"]))
                for call in self._calls
            ),
            reports=tuple(self._reports),
            prompt_tokens=usage.get("prompt_tokens", 0),
            completion_tokens=usage.get("completion_tokens", 0),
            forced_tokens=counts.get("forced_tokens", 0),
            backtracked_tokens=counts.get("backtracked_tokens", 0),
            loops=msgspec.convert(counts.get("loops", ()), tuple[FoundLoop, ...]),
        )
