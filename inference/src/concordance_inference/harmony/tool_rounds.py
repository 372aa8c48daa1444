"""The rounds of a request whose model calls tools that the server runs.

A message to such a tool ends a round. Its result is appended to the prompt, and the next round
continues from there; its prefix is in the prefix cache. A client sees one completion:

    round 1    analysis ...   python: 6 * 7 <|call|>
    result     python to=assistant: 42
    round 2    analysis ...   final: It is 42. <|return|>
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from concordance_sdk.hosted_tool import HostedCall, HostedTool
from concordance_shared import FinishReason

from concordance_inference.generation import Completed, GenerationRequest, HostedUse, TextDelta
from concordance_inference.harmony.joined_rounds import followed, joined
from concordance_inference.harmony.message_kind import MessageKind, kind_of
from concordance_inference.harmony.place import START
from concordance_inference.harmony.written_messages import written_messages
from concordance_inference.hosted_tools import (
    HostedResult,
    HostedTools,
    RunningCall,
    recipients_of,
)
from concordance_inference.mark import Mark
from concordance_inference.token_rules import TokenRules


class RoundFormat(Protocol):
    """A chat format, as far as rounds are concerned."""

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token."""
        ...

    def result_ids(self, recipient: str, text: str) -> list[int]:
        """The tokens of a tool's result, and of the beginning of the next message."""
        ...

    def rules_without_hosted(self, request: GenerationRequest) -> TokenRules[Any] | None:
        """The rules of a request whose model may call no hosted tool any more."""
        ...


class ToolRounds:
    """The rounds of one request.

    Attributes:
        request: The request of the current round.
        number: Of the current round, from 0.
    """

    def __init__(
        self,
        request: GenerationRequest,
        chat: RoundFormat,
        tools: HostedTools,
        *,
        context_length: int,
    ) -> None:
        """Begin the first round.

        Args:
            request: The request.
            chat: The format of the model.
            tools: The tools, with their limits.
            context_length: Of the model, in tokens.
        """
        self.request = request
        self.number = 0
        self._first = request
        self._chat = chat
        self._tools = tools
        self._context_length = context_length
        self._ended: Completed | None = None  # the rounds before, as one
        self._uses: list[HostedUse] = []

    @property
    def is_at_call(self) -> bool:
        """True if the tokens that the request continues end with a call, which was not run."""
        turn, beginning = self.request.harmony, self.request.beginning
        if turn is None or beginning is None:
            return False
        return beginning.token_ids[-1:] == (turn.tokens.call,)

    def called(self, completed: Completed) -> tuple[HostedTool, HostedCall] | None:
        """Return the call of a hosted tool that ended a round; `None` if it ended otherwise."""
        turn = self.request.harmony
        is_call = completed.finish_reason is FinishReason.STOP and completed.stopped_by is None
        if turn is None or not is_call:
            return None
        token_ids = self._written(completed)
        if token_ids[-1:] != (turn.tokens.call,) or not self._has_calls_left:
            return None
        messages = [*written_messages(token_ids, turn, self._chat.token_bytes)]
        if not messages or messages[-1].end != turn.tokens.call:  # the token ends no message
            return None
        last = messages[-1]
        recipient = last.header.recipient or ""
        tool = next((tool for tool in self._first.hosted if recipient in recipients_of(tool)), None)
        if tool is None:
            return None
        function = recipient.partition(".")[2]
        call = HostedCall(text=last.text, function=function, request_id=self._first.request_id)
        return tool, call

    @property
    def _has_calls_left(self) -> bool:
        """False after the last call, if a mod forces one more."""
        turn = self._first.harmony
        before = turn.num_calls if turn else 0
        return before + self.number < self._tools.limits.calls

    def start(self, tool: HostedTool, call: HostedCall) -> RunningCall:
        """Start a call."""
        return self._tools.start(tool, call)

    def end_call(self, running: RunningCall) -> bool:
        """Forget a call whose result was used; return false if the request was cancelled."""
        return self._tools.end(running)

    def has_budget(self, completed: Completed) -> bool:
        """True if the model may write more after a round."""
        max_tokens = self.request.max_tokens
        return max_tokens is None or completed.completion_tokens < max_tokens

    def advance(
        self, completed: Completed, running: RunningCall, result: HostedResult
    ) -> TextDelta | None:
        """Begin the next round; return the text between the rounds.

        `None` if the context or the budget has no room for it: the completion ends there.

        Args:
            completed: The round that ended.
            running: The call that ended it.
            result: Its result.
        """
        function = running.call.function
        recipient = f"{running.tool.name}.{function}" if function else running.tool.name
        between = self._chat.result_ids(recipient, result.text)
        request = self.request
        prompt_ids = (*request.prompt_ids, *self._written(completed), *between)
        max_tokens = request.max_tokens
        if max_tokens is not None:
            max_tokens -= completed.completion_tokens
        self._uses.append(
            HostedUse(
                tool=recipient,
                seconds=round(result.seconds, 3),
                is_error=result.is_error,
                result_tokens=len(between),
            )
        )
        has_room = len(prompt_ids) < self._context_length and (max_tokens is None or max_tokens > 0)
        text = _text_between(between, request, self._chat.token_bytes)
        self._ended = joined(self._ended, completed)
        if not has_room:
            return None
        self._ended = followed(self._ended, text, between, running.tool.name)
        self.number += 1
        kinds = self._kinds(completed)
        self.request = self._next(request, prompt_ids, max_tokens, kinds)
        return text

    def _kinds(self, completed: Completed) -> frozenset[MessageKind]:
        """The kinds of messages of which the current round has text."""
        turn, token_bytes = self.request.harmony, self._chat.token_bytes
        assert turn is not None, "it called a tool"
        messages = written_messages(self._written(completed), turn, token_bytes)
        offer = self.request.offer
        return frozenset(kind_of(message.header, offer) for message in messages if message.text)

    def _next(
        self,
        request: GenerationRequest,
        prompt_ids: tuple[int, ...],
        max_tokens: int | None,
        kinds: frozenset[MessageKind],
    ) -> GenerationRequest:
        turn = request.harmony
        assert turn is not None, "it called a tool"
        rules = request.token_rules
        if not self._has_calls_left:
            rules = self._chat.rules_without_hosted(request)
        return msgspec.structs.replace(
            request,
            prompt_ids=prompt_ids,
            max_tokens=max_tokens,
            min_tokens=0,
            instances=None,
            beginning=None,
            branch=None,
            token_rules=rules,
            harmony=msgspec.structs.replace(
                turn, opened=START, num_calls=turn.num_calls + 1, has_text=turn.has_text | kinds
            ),
        )

    def _written(self, completed: Completed) -> tuple[int, ...]:
        """The tokens of the current round, with those that an earlier request generated."""
        beginning = self.request.beginning
        return (*(beginning.token_ids if beginning else ()), *completed.token_ids)

    def cancelled(self) -> Completed:
        """Return the completion of a request that was cancelled during a call."""
        assert self._ended is not None, "a round has ended"
        return msgspec.structs.replace(self._ended, finish_reason=FinishReason.CANCELLED)

    def whole(self, last: Completed | None = None, *, is_cut: bool = False) -> Completed:
        """Return the completion of all rounds.

        Args:
            last: The last round; `None` if there was no room for it.
            is_cut: It ends with a call that the budget leaves to a request that resumes it.
        """
        if last is not None and is_cut:
            last = msgspec.structs.replace(last, finish_reason=FinishReason.LENGTH)
        if last is not None:
            ended = joined(self._ended, last)
        else:
            assert self._ended is not None, "a round has ended"
            ended = msgspec.structs.replace(self._ended, finish_reason=FinishReason.LENGTH)
        return msgspec.structs.replace(ended, hosted=tuple(self._uses)) if self._uses else ended


def _text_between(
    token_ids: Sequence[int], request: GenerationRequest, token_bytes: Callable[[int], bytes]
) -> TextDelta:
    """The text of a result, in which the structural tokens are marked."""
    kept = frozenset(request.kept_ids)
    text, data, marks = "", bytearray(), list[Mark]()
    for token_id in token_ids:
        if token_id in kept:
            text += data.decode(errors="replace")
            data.clear()
            name = token_bytes(token_id).decode()
            marks.append(Mark(len(text), len(text) + len(name), token_id))
            text += name
        else:
            data += token_bytes(token_id)
    return TextDelta(text=text + data.decode(errors="replace"), marks=tuple(marks))
