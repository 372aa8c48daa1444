"""Runs one mod for one request, with the SDK's own host: the rules are those in process."""

import time
import weakref
from typing import Any

import msgspec
from concordance_sdk.channels import Channels
from concordance_sdk.host import ModDefinition
from concordance_sdk.host.instance import InProcessMod, ModInstance
from concordance_sdk.host.request_state import Given
from concordance_sdk.parameters import parse_parameters
from concordance_sdk.request_context import RequestContext
from concordance_shared import (
    EVENTS,
    Added,
    ContextInfo,
    Event,
    Finished,
    FinishReason,
    ForwardPass,
    Noop,
    Prefilled,
    Report,
    Sampled,
    check_action,
)
from concordance_shared.legality import split_reports

from concordance_inference.mods.description import description_of
from concordance_inference.mods.loading import load_upload
from concordance_inference.mods.upload_payload import Upload
from concordance_inference.sandbox.channel_specs import format_of
from concordance_inference.sandbox.protocol import events, replies
from concordance_inference.sandbox.protocol.actions import sent
from concordance_inference.sandbox.protocol.events import Begin, Handle, ModSource, SentAsk
from concordance_inference.sandbox.protocol.replies import SentFailure, SentResult
from concordance_inference.sandbox.worker.channel import Channel
from concordance_inference.sandbox.worker.errors import failure_of
from concordance_inference.sandbox.worker.logits import WorkerLogits
from concordance_inference.sandbox.worker.models import WorkerModel
from concordance_inference.sandbox.worker.output import CappedOutput
from concordance_inference.sandbox.worker.shared_state import SharedMirror

_NOTHING = SentResult(None)

#: Bytes of a logit.
_FLOAT = 4

_MAY_REPORT = frozenset({Report, list, tuple})


class Completion(msgspec.Struct):
    """The completion, for `Channels`. The prompt is not needed."""

    token_ids: list[int] = []
    prompt_len: int = 0


class ModHost:
    """The mod of a worker."""

    def __init__(
        self, channel: Channel, model: WorkerModel, output: CappedOutput, memory: int
    ) -> None:
        """Wait for `load`.

        Args:
            channel: To the engine.
            model: The model's tokenizer.
            output: What the mod prints.
            memory: Bytes that it may allocate, for messages.
        """
        self._channel = channel
        self._model = model
        self._output = output
        self._memory = memory
        self._completion = Completion()
        self._seq = 0
        self._index = 0  # of the event, in its message
        self._name = ""
        self._place: tuple[str, int] | None = None  # the last event and its step
        self._instances: tuple[ModInstance, ...] = ()
        self._kept: weakref.ref[WorkerLogits] | None = None

    # Loading

    def load(self, begin: Begin) -> bool:
        """Load the mod, and report the result; return True if events follow."""
        self._name = begin.source.name
        self._request_id = begin.request_id
        self._context = _context_of(begin, self._model, self._completion)
        self._mirror = SharedMirror(self._context)
        try:
            reply = self._described(begin) if begin.describes else self._ready(begin)
        except BaseException as exc:  # the mod's own, such as a `KeyboardInterrupt`
            self._channel.send(replies.SentUnready(self._failure(exc), self._output.take()))
            return False
        self._channel.send(reply)
        return not begin.describes

    def _ready(self, begin: Begin) -> replies.SentReady:
        definition = _loaded(begin.source)
        given = msgspec.msgpack.decode(begin.parameters)
        parameters = parse_parameters(
            definition.parameters,
            given,
            name=begin.source.name,
            strict=begin.strict,
            param=f"{begin.param}.params",
        )
        mod = InProcessMod(
            definition,
            parameters,
            tokenizer=self._model.tokenizer,
            request=self._context,
            name=begin.source.name,
        )
        self._mod = mod  # keeps contained mods and parts alive
        self._instances = tuple(mod.instances)
        needs = _needs_of(mod)
        return replies.SentReady(
            max_backtrack=mod.max_backtrack,
            instances=tuple(_sent_instance(each, needs) for each in self._instances),
            logs=self._output.take(),
            shared=self._shared(len(self._completion.token_ids)),
        )

    def _described(self, begin: Begin) -> replies.SentDescription:
        definition = _loaded(begin.source)
        about = msgspec.msgpack.decode(begin.parameters)
        return replies.SentDescription(
            description=bytes(description_of(definition, about)),
            declares_max_backtrack=definition.declares_max_backtrack,
            logs=self._output.take(),
        )

    # Events

    def handle(self, message: Handle) -> None:
        """Handle events and reply."""
        self._seq = message.seq
        self._before(message)
        results: list[SentResult] = []
        failure: SentFailure | None = None
        started = time.perf_counter()
        length = len(self._completion.token_ids)
        try:
            for self._index, ask in enumerate(message.asks):
                event = self._event(ask)
                length, self._place = event.step, (type(event).__name__, event.step)
                self._ask(self._instances[ask.instance], event, results)
                del event
                self._keep_logits()
                if results[-1].action is not None:
                    break
        except BaseException as exc:  # the mod's own, such as a `KeyboardInterrupt`
            failure = self._failure(exc)
        micros = int(1e6 * (time.perf_counter() - started))
        logs, shared = self._output.take(), self._shared(length)
        reply = replies.Reply(message.seq, tuple(results), logs, micros, shared, failure)
        self._send(reply)

    def _send(self, reply: replies.Reply) -> None:
        """Send a reply; if it is too long, the failure instead."""
        try:
            self._channel.send(reply)
        except Exception as exc:
            failure = self._failure(exc)
            empty = replies.Reply(reply.seq, (), "", reply.micros, None, failure)
            self._channel.send(empty)

    def _before(self, message: Handle) -> None:
        if message.shared is not None:
            self._mirror.apply(message.shared)
        ids = self._completion.token_ids
        if message.kept < len(ids):
            del ids[message.kept :]
            if self._context.channels is not None:
                self._context.channels.cut(message.kept)
        ids += message.added

    def _keep_logits(self) -> None:
        """Copy the row of logits that the mod keeps: the engine does not."""
        kept = self._kept and self._kept()
        if kept is not None:
            kept.keep()
        self._kept = None

    def _ask(self, instance: ModInstance, event: Event, results: list[SentResult]) -> None:
        """Ask an instance; append what it returned."""
        returned = instance.ask(event)
        if isinstance(event, Sampled):
            event.set_logprob_reader(None)
        if returned is None or type(returned) is Noop:
            results.append(_NOTHING)
            return
        reports: list[bytes] = []
        if type(returned) in _MAY_REPORT:
            made, returned = split_reports(event, returned, mod=instance.name)
            for report in made:
                checked = self._checked(instance, event, report)
                if isinstance(checked, Report):
                    reports.append(msgspec.json.encode(checked.data))
        results.append(SentResult(None, tuple(reports)))
        action = self._checked(instance, event, returned)
        wire = sent(action, self._model.width, self._channel.write_row)
        results[-1] = SentResult(wire, tuple(reports))

    def _checked(self, instance: ModInstance, event: Event, returned: object) -> Any:
        return check_action(
            event, returned, mod=instance.name, vocab_size=self._model.tokenizer.vocab_size
        )

    def _event(self, ask: SentAsk) -> Event:
        """Return the SDK's event."""
        request_id, sent_event = self._request_id, ask.event
        match sent_event:
            case events.SentPrefilled(max_steps, tokens):
                prompt = ContextInfo(tokens=tokens)
                return Prefilled(
                    request_id=request_id, step=0, max_steps=max_steps, context_info=prompt
                )
            case events.SentForwardPass():
                return self._forward_pass(sent_event)
            case events.SentSampled(step, token, place, logprob):
                event = Sampled(
                    request_id=request_id,
                    step=step,
                    sampled_token=token,
                    known_logprob=logprob,
                    **_placed(place),
                )
                event.set_logprob_reader(lambda: float(self._read("logprob", 0, b"")))
                return event
            case events.SentAdded(step, tokens, forced, place):
                return Added(
                    request_id=request_id,
                    step=step,
                    added_tokens=tokens,
                    forced=forced,
                    **_placed(place),
                )
            case events.SentFinished(step, reason):
                return Finished(
                    request_id=request_id, step=step, finish_reason=FinishReason(reason)
                )

    def _forward_pass(self, sent_event: events.SentForwardPass) -> ForwardPass:
        logits = WorkerLogits(sent_event, self._read, self._row)
        self._kept = weakref.ref(logits)
        return ForwardPass(
            request_id=self._request_id,
            step=sent_event.step,
            logits=logits,
            prompt_logprobs=sent_event.prompt_logprobs,
            **_placed(sent_event.place),
        )

    # What the mod reads of the engine

    def _row(self) -> bytes:
        return self._channel.memory[: _FLOAT * self._model.width]

    def _read(self, kind: Any, k: int, tokens: bytes) -> Any:
        """Ask the engine for a value.

        Raises:
            ValueError: It cannot be read any more.
        """
        self._channel.send(replies.SentRead(self._seq, self._index, kind, k, tokens))
        answer = self._channel.receive()
        if not isinstance(answer, events.Value):
            raise TypeError("the engine sent no value")
        if answer.error is not None:
            raise ValueError(answer.error)
        return self._row() if kind == "row" else answer.value

    def _shared(self, length: int) -> replies.SentShared | None:
        state = self._mirror.changes(length)
        return state and replies.SentShared(state.holds, state.writing)

    def _failure(self, error: BaseException) -> SentFailure:
        return failure_of(error, mod=self._name, memory=self._memory, place=self._place)


def _loaded(source: ModSource) -> ModDefinition:
    upload = Upload(source.name, source.module, source.entrypoint, source.files, source.home)
    return load_upload(upload)[0]


def _context_of(begin: Begin, model: WorkerModel, completion: Completion) -> RequestContext:
    context = RequestContext(begin.conversation, request_id=begin.request_id)
    if begin.given:
        context.given = Given(token_ids=begin.given)
    if begin.channels is not None:
        marks = format_of(begin.channels, model.tokenizer)
        context.channels = Channels(marks, completion)
    return context


def _placed(place: Any) -> dict[str, Any]:
    return {} if place is None else {"known_place": place}


def _needs_of(mod: InProcessMod) -> dict[str, Any]:
    """Return the logits that each mod declares, by its name."""
    needs = {mod.name: mod.definition.logits}
    for contained in mod.contained:
        needs |= _needs_of(contained)
    return needs


def _sent_instance(instance: ModInstance, needs: dict[str, Any]) -> replies.SentInstance:
    names = tuple(event.__name__ for event in EVENTS if instance.listens_to(event))
    return replies.SentInstance(instance.name, names, needs.get(instance.name))
