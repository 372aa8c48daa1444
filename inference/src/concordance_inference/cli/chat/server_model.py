"""A model of a running server, as the chat uses it."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from concordance_shared import ConcordanceError, Message, ModReport
from concordance_shared.suggestions import did_you_mean, similar_names
from msgspec import Struct

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallEnded,
    ContentText,
    MessagePart,
    ReasoningText,
)
from concordance_inference.cli.chat.conversation_file import INTERRUPTED
from concordance_inference.cli.chat.reply import ModLine, Replaced, ReplyEnd, ReplyUpdate
from concordance_inference.cli.options import Chat
from concordance_inference.cli.output_args import ends_of, fields_of
from concordance_inference.cli.remote_mods import RemoteMods, remote_mods
from concordance_inference.cli.server_client import (
    ServerClient,
    ServerRefusedError,
    refusal,
    reports_of,
)
from concordance_inference.cli.start import parse_mod
from concordance_inference.generation import ReportsDelta
from concordance_inference.loop_detection import LOOP

_ROUTE = "/v1/chat/completions"


#: Statuses for a completion that the server does not know, or cannot resume.
_NOT_KEPT = (400, 404)


class ServerCut(Struct, frozen=True):
    """A response that was cut."""

    response_id: str
    is_whole: bool  # all that was generated was received


class ServerModel:
    """A model of a server. Mods of files are uploaded for each reply, with their latest source."""

    source = None

    def __init__(self, url: str) -> None:
        """Ask the server for its model.

        Raises:
            ConcordanceError: There is no such server.
        """
        self._server = ServerClient(url)
        self.id = self._server.model()

    def reply(self, messages: Sequence[Message], options: Chat) -> "ServerReply":
        """Begin a reply."""
        return self._reply(messages, options, {})

    def resume(self, messages: Sequence[Message], options: Chat, cut: object) -> "ServerReply":
        """Resume the last message: the response that was cut, or after its text.

        A response that was stopped may have text that was not received, so it continues after what
        was, unless that has no content.
        """
        rendering = {"continue_final_message": True, "add_generation_prompt": False}
        by_text = self._reply(messages, options, rendering)
        if isinstance(cut, ServerCut) and (cut.is_whole or not messages[-1].content):
            return ServerReply(self._server, options, _resuming(options, cut, self.id), by_text)
        return by_text

    def _reply(
        self, messages: Sequence[Message], options: Chat, more: Mapping[str, Any]
    ) -> "ServerReply":
        asked = {
            "reasoning_effort": options.reasoning_effort,
            "thinking_token_budget": options.thinking_token_budget,
        }
        fields = {
            "model": self.id,
            "messages": messages,
            **options.sampling,
            **fields_of(options),
            **{name: value for name, value in asked.items() if value is not None},
            **more,
            "reasoning_field": "reasoning_content",
            "truncation": "auto",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return ServerReply(self._server, options, fields)

    def switch(self, name: str) -> None:
        """Use another model of the server.

        Raises:
            InvalidRequestError: The server has no such model.
        """
        known = self.model_names()
        if name not in known:
            listed = f"its models are: {', '.join(known)}"
            hint = did_you_mean(similar_names(name, known), listed)
            raise ConcordanceError(f"/model: the server has no model {name!r}{hint}")
        self.id = name

    def check_mods(self, options: Chat) -> None:
        """Refuse mods that cannot be used."""
        with remote_mods(self._server, options.mods) as mods:
            mods.select([parse_mod(mod) for mod in options.mod])

    def model_names(self) -> list[str]:
        """Return the models of the server."""
        return [model["id"] for model in self._server.call("GET", "/v1/models")["data"]]

    def mods(self) -> list[ModLine]:
        """Return the mods of the server."""
        return [
            ModLine(name=mod["id"], description=mod.get("description") or "")
            for mod in self._server.call("GET", "/v1/mods")["data"]
        ]


def _resuming(options: Chat, cut: ServerCut, model: str) -> dict[str, Any]:
    """The fields of a request that continues a response: those that may change."""
    return {
        "model": model,
        "resume_from": cut.response_id,
        **options.sampling,
        **ends_of(options),
        "reasoning_field": "reasoning_content",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


class ServerReply:
    """A reply of a server: the parts in the chunks of its stream."""

    def __init__(
        self,
        server: ServerClient,
        options: Chat,
        fields: Mapping[str, Any],
        otherwise: "ServerReply | None" = None,
    ) -> None:
        """Prepare the request, which the first update sends.

        Args:
            server: The server.
            options: The mods.
            fields: The other fields of the request.
            otherwise: What is sent in its place if the server does not know what it continues.
        """
        self._otherwise = otherwise
        self._id = ""
        self._server = server
        self._options = options
        self._fields = fields
        self._updates = self._run()
        self._finish = "stop"
        self._num_calls = 0

    def __iter__(self) -> Iterator[ReplyUpdate]:
        """Send the request; yield the updates."""
        return self._updates

    def stop(self) -> Sequence[MessagePart | ReplyEnd]:
        """Close the connection, which cancels the request, and remove what was uploaded for it."""
        self._updates.close()
        self._finish = INTERRUPTED
        return [ReplyEnd(finish=INTERRUPTED)]

    @property
    def cut(self) -> "ServerCut | None":
        """The response, if it has begun."""
        if self._id:
            return ServerCut(self._id, self._finish != INTERRUPTED)
        return self._otherwise.cut if self._otherwise else None

    def _run(self) -> Generator[ReplyUpdate]:
        try:
            yield from self._sent()
        except ServerRefusedError as exc:
            if self._otherwise is None or exc.status not in _NOT_KEPT:
                raise
            yield from self._otherwise

    def _sent(self) -> Generator[ReplyUpdate]:
        options = self._options
        with remote_mods(self._server, options.mods) as mods:
            chosen = mods.select([parse_mod(mod) for mod in options.mod])
            body = {**self._fields, "mods": chosen}
            with closing(self._server.events(_ROUTE, body)) as chunks:  # type: ignore[type-var]
                yield from self._of_chunks(chunks, mods)

    def _of_chunks(
        self, chunks: Iterator[dict[str, Any]], mods: RemoteMods
    ) -> Iterator[ReplyUpdate]:
        usage: dict[str, Any] = {}
        num_truncated = 0
        for chunk in chunks:
            if error := chunk.get("error"):
                raise refusal(error)
            self._id = chunk.get("id") or self._id
            usage = chunk.get("usage") or usage
            about = chunk.get("concordance") or {}
            num_truncated = about.get("truncated_messages", num_truncated)
            if replaced := about.get("replaced"):
                yield Replaced(
                    reasoning=replaced.get("reasoning", 0), content=replaced.get("content", 0)
                )
            if reports := about.get("reports"):
                reported: tuple[ModReport, ...] = mods.own_reports(reports_of(reports))
                yield ReportsDelta(reports=reported)
            for choice in chunk["choices"]:
                yield from self._of_delta(choice["delta"])
                self._finish = choice["finish_reason"] or self._finish
                if choice.get("stop_reason") == LOOP:
                    self._finish = LOOP
        for index in range(self._num_calls):
            yield CallEnded(index)
        details = usage.get("prompt_tokens_details") or {}
        yield ReplyEnd(
            finish=self._finish,
            prompt_tokens=usage.get("prompt_tokens", 0),
            cached_tokens=details.get("cached_tokens", 0),
            truncated_messages=num_truncated,
            completion_tokens=usage.get("completion_tokens"),
        )

    def _of_delta(self, delta: Mapping[str, Any]) -> Iterator[ReplyUpdate]:
        """The parts in a delta."""
        if reasoning := delta.get("reasoning_content"):
            yield ReasoningText(reasoning)
        if content := delta.get("content"):
            yield ContentText(content)
        for call in delta.get("tool_calls") or ():
            if "id" in call:
                self._num_calls = call["index"] + 1
                yield CallBegun(call["index"], call["id"], call["function"]["name"])
            if arguments := call["function"].get("arguments"):
                yield CallArguments(call["index"], arguments)
