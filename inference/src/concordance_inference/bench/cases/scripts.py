"""Processor time per token that a script takes above the same mod written as handlers."""

import statistics
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from concordance_sdk import Action, Actions, Added, Finished, ForwardPass, Tokenizer, mod, use
from concordance_sdk.builtin import StopAfterSentences, StopAt
from concordance_sdk.composition import uses_of
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.host.dispatch import ModDispatch
from concordance_sdk.host.instance import InProcessMod
from concordance_sdk.host.request_state import RequestState
from concordance_sdk.request_context import RequestContext
from concordance_sdk.script import ScriptRun, Step
from concordance_sdk.self_prompt import SelfPrompt, SelfPromptRun
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import AdjustedLogits
from msgspec import Struct

from concordance_inference.bench.figures import Figure, alternate, measured

#: Target of the difference, in microseconds per token.
_TARGET_US = 10.0

_ROUNDS = 15
_NUM_TOKENS = 1000

#: What the model says; without a mark at which one of the mods would end it.
_SAYS = b"and more of a long text "

#: Tokens between two questions.
_EVERY = 16

_TOKENIZER = ByteTokenizer()


def figures() -> Iterator[Figure]:
    """Measure the dispatch of events to each mod, without a model."""
    for name, script, handlers in pairs():
        (script_us, handlers_us) = alternate(
            [lambda mod=script: token_us(mod), lambda mod=handlers: token_us(mod)], rounds=_ROUNDS
        )
        above = [one - other for one, other in zip(script_us, handlers_us, strict=True)]
        about = f"{statistics.median(script_us):.1f} against {statistics.median(handlers_us):.1f}"
        yield measured(
            f"script above handlers: {name} ({about})",
            "",
            "us/token",
            statistics.median(above),
            target=_TARGET_US,
            at_most=True,
        )


def pairs() -> Sequence[tuple[str, Any, Any]]:
    """Return scripts and the same mods as handlers: a name, the script, the handlers."""
    return (
        ("temperature, and a report", _cools, _Cools),
        ("until a text", _until, use(StopAt, phrases=["###"])),
        ("sentences", _sentences, use(StopAfterSentences, count=3)),
        (f"a question every {_EVERY} tokens", _asks, _Asks),
    )


def token_us(target: Any) -> float:
    """Measure the processor time of one request, in microseconds per token that it adds."""
    state, dispatch = _request(target)
    start = time.thread_time()
    _play(state, dispatch)
    return 1e6 * (time.thread_time() - start) / (state.num_completion + state.num_backtracked)


def completion_of(target: Any) -> list[int]:
    """Return the completion of one request, by which a script and its handlers are compared."""
    state, dispatch = _request(target)
    _play(state, dispatch)
    return state.completion_ids


def _play(state: RequestState, dispatch: ModDispatch) -> None:
    """Dispatch the events of a request until it ends."""
    while not state.is_finished:
        row = dispatch.forward_pass(_ROW) if dispatch.listens_to_logits else _ROW
        if row is not None:
            dispatch.sampled(row.token(state.num_sampled))
    dispatch.finished()


def _request(target: Any) -> tuple[RequestState, ModDispatch]:
    """Start a request with one mod."""
    (called,) = uses_of([target], name="bench")
    request = RequestContext()
    instance = InProcessMod(
        called.definition, called.parameters, tokenizer=_TOKENIZER, request=request
    )
    state = RequestState(
        "bench",
        [1],
        max_tokens=_NUM_TOKENS,
        eos_ids=_TOKENIZER.eos_token_ids,
        hold=instance.max_backtrack,
        holds=request.holds,
    )
    dispatch = ModDispatch(state, [instance], vocab_size=_TOKENIZER.vocab_size)
    dispatch.prefilled()
    return state, dispatch


class _Row(Struct, frozen=True):
    """Logits that no mod reads. The model says `_SAYS`, or the first token that a mask allows."""

    mask: Any = None

    def __len__(self) -> int:
        return _TOKENIZER.vocab_size

    def adjusted(self, action: AdjustedLogits) -> "_Row":
        return _Row(action.mask)

    def token(self, index: int) -> int:
        """Sample."""
        if self.mask is None:
            return _SAYS[index % len(_SAYS)]
        return next(
            8 * i + (byte & -byte).bit_length() - 1 for i, byte in enumerate(self.mask) if byte
        )


_ROW: Any = _Row()


# Scripts, and the same mods as handlers


@mod(name="cools", registered=False)
def _cools(run: ScriptRun) -> Generator[Step, Any, None]:
    """Generate at a low temperature, and report the length."""
    text = yield run.generate(temperature=0.5)
    yield run.report(length=len(text.token_ids))


@mod(name="cools", registered=False)
class _Cools:
    """The same."""

    def __init__(self) -> None:
        self._length = 0

    def forward_pass(self, event: ForwardPass, actions: Actions) -> Action:
        del event
        return actions.adjust_logits(token_temp=0.5)

    def added(self, event: Added, actions: Actions) -> None:
        del actions
        self._length += len(event.added_tokens)

    def finished(self, event: Finished, actions: Actions) -> Action:
        del event
        return actions.report(length=self._length)


@mod(name="until", registered=False)
def _until(run: ScriptRun) -> Generator[Step, Any, None]:
    """End at a text."""
    yield run.generate(until="###")
    yield run.stop()


@mod(name="sentences", registered=False)
def _sentences(run: ScriptRun) -> Generator[Step, Any, None]:
    """End after three sentences."""
    yield run.generate(sentences=3)
    yield run.stop()


_QUESTION = " Is that so? "
_ANSWERS = ChoicesStrat(["yes", "no"])
_SURE = SelfPrompt(prompt=_QUESTION, constraint=_ANSWERS, erase="all")


@mod(name="asks", registered=False)
def _asks(run: ScriptRun) -> Generator[Step, Any, None]:
    """Ask every `_EVERY` tokens."""
    while True:
        yield run.generate(tokens=_EVERY)
        yield run.ask(_QUESTION, _ANSWERS)


@mod(name="asks", registered=False)
class _Asks:
    """The same."""

    def __init__(self) -> None:
        self._run: SelfPromptRun | None = None
        self._next = _EVERY

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        if self._run is None:
            if event.step < self._next:
                return None
            self._run = _SURE.start(tokenizer)
        return self._run.before(event.step).action(actions) or self._run.masked(actions)

    def added(self, event: Added, actions: Actions) -> Action | None:
        run = self._run
        if run is None:
            return None
        edit = run.after(event.step, event.added_tokens)
        if run.is_complete:
            self._run, self._next = None, self._next + _EVERY
        return edit.action(actions)
