"""Plays a completion: the engine's loop without the engine."""

from collections.abc import Mapping, Sequence
from typing import Any

from concordance_shared import (
    Conversation,
    Event,
    FinishReason,
    Message,
    ModError,
    Schemas,
    ToolCall,
)
from msgspec import Struct

from concordance_sdk.composition import ModUse, use
from concordance_sdk.definition import longest_hold
from concordance_sdk.instance import InProcessMod, ModInstance
from concordance_sdk.mod import definition_of
from concordance_sdk.request_state import RequestState
from concordance_sdk.steering import Steering
from concordance_sdk.testing.byte_tokenizer import ByteTokenizer
from concordance_sdk.testing.scripted_model import Script, ScriptedModel
from concordance_sdk.tokenizer import Tokenizer


class Played(Struct, frozen=True, kw_only=True):
    """What became of a request that was played."""

    text: str  # of the completion, without special tokens
    token_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    events: tuple[Event, ...]  # everything that was raised, in order
    reads: tuple[tuple[int, ...], ...]  # the token ids that each forward pass read
    num_forced: int
    num_taken_back: int

    @property
    def passes(self) -> int:
        """How many forward passes it took, the prompt's among them."""
        return len(self.reads)


def play(
    *mods: Any,
    script: str | Script,
    prompt: str = "",
    parameters: Mapping[str, Any] | None = None,
    messages: Sequence[Message] = (),
    schemas: Schemas | None = None,
    max_tokens: int = 256,
    tokenizer: Tokenizer | None = None,
    stream: bool = False,
) -> Played:
    """Play a completion with mods, by the engine's own rules, and return what became of it.

    Args:
        mods: The mods, in the order in which they act; `use(mod, parameter=value)` for one with
            parameters of its own.
        script: What the model wants to say: a text, token ids, or a function of the completion.
        prompt: What stands before the completion; `>` if it is empty, since a model reads
            something first.
        parameters: The parameters of every class mod that has none of its own.
        messages: The conversation that `get_conversation()` gives.
        schemas: The tools and the response format that `get_schemas()` gives.
        max_tokens: The completion's budget.
        tokenizer: The model's tokenizer; one whose tokens are bytes if left out.
        stream: Refuse, as a stream does, to take back what was shown.

    Raises:
        ModError: A mod raised, answered with what is not allowed, or emitted an error.
    """
    tokenizer = tokenizer or ByteTokenizer()
    conversation = Conversation(messages=tuple(messages), schemas=schemas or Schemas())
    events: list[Event] = []
    instances = [
        InProcessMod(
            used.definition, used.parameters, tokenizer=tokenizer, conversation=conversation
        )
        for used in (_used(mod, parameters or {}) for mod in mods)
    ]
    state = RequestState(
        "played",
        tokenizer.encode(prompt or ">"),
        max_tokens=max_tokens,
        eos_ids=tokenizer.eos_token_ids,
        hold=longest_hold(mod.max_backtrack for mod in instances) if stream else None,
    )
    listening: list[ModInstance] = [_Recorder(events), *instances]
    steering = Steering(state, listening, vocab_size=tokenizer.vocab_size)
    wanted = tokenizer.encode(script) if isinstance(script, str) else script
    model = ScriptedModel(
        wanted, vocab_size=tokenizer.vocab_size, eos_id=min(tokenizer.eos_token_ids)
    )
    _run(steering, model)
    return Played(
        text=tokenizer.decode(state.completion_ids, skip_special_tokens=True),
        token_ids=tuple(state.completion_ids),
        prompt_ids=tuple(state.token_ids[: state.prompt_len]),
        finish_reason=state.finish_reason or FinishReason.ERROR,
        tool_calls=state.tool_calls,
        events=tuple(events),
        reads=tuple(model.reads),
        num_forced=state.num_forced,
        num_taken_back=state.num_taken_back,
    )


def _used(mod: Any, parameters: Mapping[str, Any]) -> ModUse:
    """A mod with its own parameters, if it was given any, or with those of every class mod."""
    if isinstance(mod, ModUse):
        return mod
    return use(mod, **parameters) if definition_of(mod).is_class else use(mod)


def _run(steering: Steering, model: ScriptedModel) -> None:
    """Drive a request to its end, one position at a time."""
    state = steering.state
    try:
        steering.prefilled()
        while not state.is_finished:
            _decide_position(steering, model)
    except ModError as exc:
        state.fail(exc)
    try:
        steering.finished()
    except ModError as exc:
        state.fail(exc)
    if state.error:
        raise state.error


def _decide_position(steering: Steering, model: ScriptedModel) -> None:
    state = steering.state
    read = state.token_ids[-state.num_unread :]
    logits = model.forward(read, state.completion_ids)
    state.num_cached = len(state.token_ids)
    chosen = steering.forward_pass(logits)
    if chosen is not None:
        steering.sampled(chosen.top_k(1)[0][0])


class _Recorder:
    """A mod that writes down every event and answers nothing."""

    name = "recorder"
    max_backtrack = 0

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self.parts = (self,)

    def listens_to(self, event_type: type[Event]) -> bool:  # noqa: ARG002
        return True

    def ask(self, event: Event) -> None:
        self._events.append(event)
