"""An engine without a model, which sends given updates."""

import asyncio
from types import SimpleNamespace

from concordance_inference.branching.errors import unknown_parent
from concordance_inference.branching.request import branched_request
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.generation import (
    Completed,
    EngineHealth,
    Failed,
    ModelInfo,
    Started,
    TextDelta,
)
from concordance_inference.metrics_snapshot import MetricsSnapshot
from concordance_inference.resume.ended import EndedCompletion, EndedCompletions
from concordance_inference.resume.request import resumed_request
from concordance_inference.tools.tool_format import GENERIC
from concordance_sdk import FinishReason
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ContextLengthError

INFO = ModelInfo(id="fake", created=1700000000, context_length=100, vocab_size=257)


def completed(text="Hello", **fields):
    fields = {
        "token_ids": tuple(range(len(text))),
        "finish_reason": FinishReason.STOP,
        "prompt_tokens": 3,
        "completion_tokens": len(text),
        **fields,
    }
    return Completed(text=text, **fields)


def says(*pieces, **fields):
    """Return the updates of a text that is streamed in pieces."""
    deltas = [TextDelta(text=piece) for piece in pieces]
    return [Started(prompt_tokens=3), *deltas, completed("".join(pieces), **fields)]


class FakeControl:
    """The running requests of an engine that has no state for them."""

    async def statuses(self):
        return {}

    def cancel(self, request_id):
        pass


class FakeEngine:
    """Sends the same updates for every request and records requests. A float is a pause.

    `updates` may also be a function of the request.
    """

    def __init__(self, updates=None, *, is_running=True):
        self.updates = says("Hel", "lo") if updates is None else updates
        self.model = INFO
        self.is_running = is_running
        self.stuck_call = None
        self.max_requests = 264
        self.control = FakeControl()
        self.ended = EndedCompletions(300)
        self.requests = []
        self.cancelled = []

    @property
    def health(self):
        if not self.is_running:
            return EngineHealth(status="stopped")
        return EngineHealth(status="stuck" if self.stuck_call else "ok", call=self.stuck_call)

    def metrics(self):
        return MetricsSnapshot()

    def written(self, completion_id):
        return None

    def prepare(self, request):
        return request

    def resume(self, completion_id, changes):
        return resumed_request(
            self.ended.find(self.model.id, completion_id),
            changes,
            new_decoder=lambda skipped=(), kept=(): BytesDecoder(
                lambda token_id: bytes([token_id])
            ),
            context_length=self.model.context_length,
        )

    @property
    def ended_completions(self):
        return self.ended

    def branch(self, point, changes):
        parent = self.ended.kept(self.model.id, point.id, field="branch_from.id")
        if parent is None:
            raise unknown_parent(point.id)
        traits = SimpleNamespace(
            tokenizer=ByteTokenizer(),
            vocab_size=self.model.vocab_size,
            context_length=self.model.context_length,
            eos_ids=frozenset({256}),
        )
        return branched_request(parent, point, changes, traits)

    def cut(self, request, text, **fields):
        """Keep a completion of a request that ended by its budget."""
        ended = EndedCompletion(
            request=request,
            token_ids=[*request.prompt_ids, *text.encode()],
            prompt_len=len(request.prompt_ids),
            forced_by=[None] * len(text.encode()),
            num_sampled=len(text.encode()),
            seed=7,
            **{"finish_reason": FinishReason.LENGTH, **fields},
        )
        self.ended.keep(self.model.id, ended)

    async def generate(self, request):
        self.requests.append(request)
        is_over = False
        try:
            updates = self.updates(request) if callable(self.updates) else self.updates
            for update in updates:
                if isinstance(update, Exception):
                    raise update
                if isinstance(update, float):
                    await asyncio.sleep(update)
                    continue
                is_over = isinstance(update, Completed | Failed)
                if not request.stream and isinstance(update, TextDelta):
                    continue
                yield update
        finally:
            if not is_over:
                self.cancelled.append(request)


class FakeChat:
    """Renders the last message to its bytes; 'too long' fills the context."""

    options = frozenset({"enable_thinking"})
    reasoning_tags = (("<think>", "</think>"),)
    marker_ids = ()
    special_ids = frozenset()
    tool_format = GENERIC
    can_reason = True
    harmony = None
    hosted_tools = None

    def token_rules(self, offer, *, may_reason=True, has_format=False):
        return None

    def render(
        self, messages, tools=(), options=None, rendering=None, response_format=None, hosted=()
    ):
        self.rendered.append(options)
        self.renderings.append(rendering)
        text = messages[-1].text
        if text == "too long":
            return [1] * INFO.context_length
        if text == "refused":
            raise ContextLengthError("refused")
        return list(text.encode())

    def __init__(self):
        self.rendered = []  # the options of each prompt
        self.renderings = []

    def encode(self, text, *, adds_special=True):
        return self.tokenize(text, adds_special=adds_special)

    def tokenize(self, text, *, adds_special=True):
        return [1, *text.encode()] if adds_special else list(text.encode())

    def count(self, text):
        return len(text.encode())

    def decode(self, token_ids):
        return bytes(token_id % 256 for token_id in token_ids).decode(errors="replace")

    def token_names(self, token_ids):
        return [f"<{token_id}>" for token_id in token_ids]

    def tokenizer_info(self):
        return {"eos_token": "<eos>", "chat_template": "{{ messages }}"}

    def token_bytes(self, token_id, *, at_start=False):
        return bytes([token_id % 256])
