"""A trace that grows: the recorder of a request, and the builder that follows it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from concordance_inference.generation import GenerationRequest
from concordance_inference.traces.builder import TraceBuilder
from concordance_inference.traces.plain import plain
from concordance_inference.traces.recorder import TraceRecorder
from concordance_inference.traces.schema import Trace, TraceMod

#: Seconds after which a request that was closed without a row is given up.
GRACE_S = 5.0

#: Characters of a prompt or completion that a trace keeps.
_MAX_TEXT = 1_000_000


class Texts(Protocol):
    """Decodes tokens. Called on the thread that makes traces."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of token ids, with the names of special tokens."""
        ...

    def token_bytes(self, token_id: int, *, at_start: bool = False) -> bytes:
        """Return the bytes that a token adds to a text; the name of a special token."""
        ...


class Origin(Struct, frozen=True, kw_only=True):
    """Where a traced request comes from."""

    model: str
    path: str
    choice: int = 0
    build: Mapping[str, str] = {}
    settings: Mapping[str, Any] = {}
    body: bytes | None = None  # of the HTTP request


class ActiveTrace:
    """The trace of one request that runs, or has just ended."""

    def __init__(
        self,
        request: GenerationRequest,
        recorder: TraceRecorder,
        origin: Origin,
        texts: Texts,
        *,
        keeps_prompt: bool,
    ) -> None:
        """Begin the trace of a request.

        Args:
            request: The request.
            recorder: Its recorder.
            origin: Where it comes from.
            texts: Decodes its tokens.
            keeps_prompt: Keep the tokens and the text of the prompt.
        """
        self.recorder = recorder
        self._texts = texts
        self._closed_at: float | None = None
        self._token_texts: dict[int, str] = {}
        self._prompt_ids = request.prompt_ids if keeps_prompt else None
        self._body = origin.body if keeps_prompt else None
        self.is_announced = False  # to those who watch
        trace = Trace(
            id=request.request_id,
            owner=request.owner,
            created=time.time(),
            level=recorder.level,
            parameters=parameters_of(request),
            mods=[mod_of(call) for call in request.mods],
            prompt_tokens=len(request.prompt_ids),
            model=origin.model,
            path=origin.path,
            choice=origin.choice,
            build=dict(origin.build),
            settings=dict(origin.settings),
            branch=_branch_of(request),
        )
        self.builder = TraceBuilder(trace, self._text_of)

    @property
    def trace(self) -> Trace:
        """What is known so far."""
        return self.builder.trace

    def follow(self) -> bool:
        """Follow the recorder; return True if anything changed."""
        if self._prompt_ids is not None:  # here, since this grows with the request
            self.trace.prompt_ids, self._prompt_ids = list(self._prompt_ids), None
        if self._body is not None:
            self.trace.source, self._body = _decoded(self._body), None
        records = self.recorder.take()
        self.builder.apply(records)
        if self.recorder.num_dropped:
            self.trace.is_truncated, self.trace.dropped_records = True, self.recorder.num_dropped
        if self.builder.is_closed and not self.builder.is_over:
            self._give_up_later()
        if self.builder.is_over:
            self._set_texts()
        return bool(records) or self.builder.is_over

    def _give_up_later(self) -> None:
        now = time.monotonic()
        self._closed_at = self._closed_at or now
        if now - self._closed_at > GRACE_S:
            self.builder.fail("the request ended before the engine gave it a row")

    def _set_texts(self) -> None:
        trace = self.trace
        trace.text = self._texts.decode(trace.completion_ids)[:_MAX_TEXT]
        if trace.prompt_ids is not None:
            trace.prompt = self._texts.decode(trace.prompt_ids)[:_MAX_TEXT]

    def _text_of(self, token_id: int) -> str:
        text = self._token_texts.get(token_id)
        if text is None:
            text = self._texts.token_bytes(token_id).decode(errors="replace")
            self._token_texts[token_id] = text
        return text


def _branch_of(request: GenerationRequest) -> dict[str, Any] | None:
    """What a completion branches off, and where."""
    if (branch := request.branch) is None:
        return None
    return {"parent": branch.parent, "position": branch.position}


def _decoded(body: bytes) -> dict[str, Any] | None:
    """Decode the body of a request, which the server has decoded before."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None


def parameters_of(request: GenerationRequest) -> dict[str, Any]:
    """Return the parameters of a request as plain data."""
    sampling = msgspec.to_builtins(request.sampling, str_keys=True)
    return {
        **sampling,
        "max_tokens": request.max_tokens,
        "min_tokens": request.min_tokens,
        "stop": list(request.stop),
        "stop_token_ids": list(request.stop_token_ids),
        "ignore_eos": request.ignore_eos,
        "stream": request.stream,
        "loop_detection": msgspec.to_builtins(request.loop_detection),
    }


def mod_of(call: Any) -> TraceMod:
    """Return a mod of a request; its parameters as JSON can have them."""
    values = {name: plain(value) for name, value in call.parameters.items()}
    digits = f"sha256:{call.version}" if call.version else None
    return TraceMod(name=call.name, hash=digits, parameters=values)
