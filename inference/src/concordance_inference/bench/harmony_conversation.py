"""A conversation of a gpt-oss that reasons and calls a tool in every turn, always the same."""

import random
import time
from collections.abc import Sequence

from concordance_shared import FunctionSchema, Message, Schemas, Tool
from msgspec import Struct

from concordance_inference.bench.scripted_gpt_oss import ScriptedModel
from concordance_inference.chat.message_parts import MessagePart, joined
from concordance_inference.chat.readers import reader_factory
from concordance_inference.chat.request import build_request
from concordance_inference.engine.engine import Engine
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    SamplingParams,
    Started,
    TextDelta,
    Update,
)

NUM_TURNS = 20

_TOOL = Tool(
    function=FunctionSchema(
        name="search",
        description="Search the library",
        parameters={
            "type": "object",
            "properties": {"query": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["query"],
        },
    )
)
TOOLS = Schemas(tools=(_TOOL,))

_WORDS = (
    *("the", "a", "of", "river", "stone", "light", "house", "story", "reader", "letter", "garden"),
    *("morning", "winter", "paper", "window", "song", "old", "small", "quiet", "bright", "early"),
    *("late", "found", "wrote", "said", "kept", "turned", "opened", "about", "under", "after"),
)

_GREEDY = SamplingParams(temperature=0.0)


class Generated(Struct, frozen=True, kw_only=True, eq=False):
    """A completion and its times, in seconds from submission."""

    request: GenerationRequest
    completed: Completed
    parts: Sequence[MessagePart]
    started_s: float  # the prompt is prefilled
    first_s: float  # the first reasoning or content
    ended_s: float

    @property
    def num_read(self) -> int:
        """Tokens of the prompt that were prefilled."""
        return self.completed.prompt_tokens - self.completed.cached_tokens

    @property
    def rate(self) -> float:
        """Tokens per second, prefill excluded."""
        return (self.completed.completion_tokens - 1) / (self.ended_s - self.started_s)


class Turn(Struct, frozen=True, kw_only=True, eq=False):
    """A question, the call of the tool, and the answer."""

    call: Generated
    answer: Generated
    num_new: int  # tokens of both prompts that no earlier prompt or completion begins with

    @property
    def num_read(self) -> int:
        """Tokens of both prompts that were prefilled."""
        return self.call.num_read + self.answer.num_read

    @property
    def prefill_s(self) -> float:
        """Seconds in which both prompts were prefilled."""
        return self.call.started_s + self.answer.started_s

    @property
    def rate(self) -> float:
        """Tokens per second of both completions, prefill excluded."""
        both = (self.call, self.answer)
        seconds = sum(one.ended_s - one.started_s for one in both)
        return sum(one.completed.completion_tokens - 1 for one in both) / seconds


class HarmonyConversation:
    """Plays the conversation on an engine, as the server would."""

    def __init__(self, model: ScriptedModel, engine: Engine, *, num_words: int = 30) -> None:
        """Begin without messages.

        Args:
            model: Says what is scripted.
            engine: Runs it.
            num_words: Words of a question and of a reasoning; an answer has twice as many.
        """
        self._num_words = num_words
        self._model = model
        self._engine = engine
        self._messages: list[Message] = [Message(role="system", content="Help with the library.")]
        self._seen: list[tuple[int, ...]] = []  # prompts with their completions
        self._dice = random.Random(0)  # noqa: S311  # no secret

    def turn(self) -> Turn:
        """Play a turn."""
        num_words = self._num_words
        self._messages.append(Message(role="user", content=self._words(num_words)))
        query = f'{{"query": "{self._words(6)}", "count": 3}}'
        call, num_new = self._reply(
            f"<|channel|>analysis<|message|>{self._words(num_words)}<|end|><|start|>assistant"
            f"<|channel|>commentary to=functions.search <|constrain|>json<|message|>{query}<|call|>"
        )
        calls = self._messages[-1].tool_calls
        assert calls, "the script calls the tool"
        self._messages.append(
            Message(role="tool", content=self._words(num_words), tool_call_id=calls[0].id)
        )
        answer, num_more = self._reply(
            f"<|channel|>analysis<|message|>{self._words(num_words)}<|end|><|start|>assistant"
            f"<|channel|>final<|message|>{self._words(2 * num_words)}<|return|>"
        )
        return Turn(call=call, answer=answer, num_new=num_new + num_more)

    def _words(self, count: int) -> str:
        return " ".join(self._dice.choices(_WORDS, k=count))

    def _reply(self, script: str) -> tuple[Generated, int]:
        """Generate a message, and count the new tokens of its prompt."""
        request = build_request(
            self._messages,
            self._model.chat,
            self._model.info,
            schemas=TOOLS,
            sampling=_GREEDY,
            stream=True,
        )
        script_ids = self._model.tokenizer.encode(script)
        self._model.say([*request.prompt_ids, *script_ids])
        num_held = max((_num_common(request.prompt_ids, ids) for ids in self._seen), default=0)
        made = generated(self._engine, request)
        assert made.completed.token_ids == tuple(script_ids), "the model says its script"
        self._seen.append((*request.prompt_ids, *script_ids[:-1]))
        self._model.chat.remember(request, made.completed)
        read = joined(made.parts)
        self._messages.append(
            Message(
                role="assistant",
                content=read.content,
                reasoning_content=read.reasoning,
                tool_calls=read.tool_calls,
            )
        )
        return made, len(request.prompt_ids) - num_held


def generated(engine: Engine, request: GenerationRequest) -> Generated:
    """Run a request that is streamed, and read its messages as they are generated."""
    reader = reader_factory(request)()
    parts: list[MessagePart] = []
    stamps: dict[str, float] = {}
    ends: list[Completed] = []

    def receive(update: Update) -> None:
        if isinstance(update, Failed):
            raise update.error
        if isinstance(update, Started):
            stamps["started"] = time.perf_counter()
        elif isinstance(update, TextDelta):
            parts.extend(reader.add(update))
            if parts:
                stamps.setdefault("first", time.perf_counter())
        elif isinstance(update, Completed):
            ends.append(update)

    start = time.perf_counter()
    engine.submit(request, receive)
    while engine.has_work:
        engine.step()
    end = time.perf_counter()
    return Generated(
        request=request,
        completed=ends[0],
        parts=[*parts, *reader.end(ends[0])],
        started_s=stamps["started"] - start,
        first_s=stamps.get("first", end) - start,
        ended_s=end - start,
    )


def _num_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the equal tokens with which two sequences begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
